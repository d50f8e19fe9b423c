"""The delivery of one webhook: attempts over three days, until one succeeds."""

from asyncio import CancelledError
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

from activities.webhooks import WebhookActivities
from contracts.webhooks import Attempt, AttemptResult, Deliver, DeliveryStatus

MINUTE_S = 60
HOUR_S = 60 * MINUTE_S
# What Standard Webhooks 1.0 recommends: seconds to wait before each attempt.
PAUSES_S = (
    *(0, 5, 5 * MINUTE_S, 30 * MINUTE_S),
    *(hours * HOUR_S for hours in (2, 5, 10, 14, 20, 24)),
)
# So that what failed together does not come back together.
JITTER = 0.1
# A whole attempt has 20 s, and our books some more.
ATTEMPT_TIMEOUT = timedelta(seconds=40)
BOOKS_TIMEOUT = timedelta(seconds=10)
# Many may hang at once, and each beats.
HEARTBEAT_TIMEOUT = timedelta(seconds=10)
# For attempts that were lost with their worker or kept from our books; what a receiver answers is a result.
RETRIES = RetryPolicy(initial_interval=timedelta(seconds=0.2), maximum_interval=timedelta(seconds=30))


@workflow.defn(name="Delivery")
class DeliveryWorkflow:
    """Delivers a message to an endpoint, or gives up on it."""

    @workflow.run
    async def run(self, delivery: Deliver) -> DeliveryStatus:
        try:
            return await self.deliver(delivery)
        except (CancelledError, ActivityError) as error:
            if not is_cancelled_exception(error):
                raise
            # An operator's doing: its owner reads that it has failed, and can have it redelivered.
            return await self.give_up(delivery)

    async def deliver(self, delivery: Deliver) -> DeliveryStatus:
        asked_for_s = 0.0
        for number, pause_s in enumerate(PAUSES_S, start=1):
            await self.pause(max(pause_s, asked_for_s), number)
            result = await self.attempt(delivery, number)
            if result.status is not DeliveryStatus.PENDING:
                return result.status
            asked_for_s = result.retry_after_s or 0.0
        return DeliveryStatus.FAILED

    async def pause(self, seconds: float, before: int) -> None:
        if seconds:
            jitter = 1 + JITTER * workflow.random().random()
            await workflow.sleep(seconds * jitter, summary=f"before attempt {before}")

    async def attempt(self, delivery: Deliver, number: int) -> AttemptResult:
        return await workflow.execute_activity_method(
            WebhookActivities.attempt_delivery,
            Attempt(delivery_id=delivery.delivery_id, number=number, is_last=number == len(PAUSES_S)),
            start_to_close_timeout=ATTEMPT_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RETRIES,
            summary=f"attempt {number}",
        )

    async def give_up(self, delivery: Deliver) -> DeliveryStatus:
        return await workflow.execute_activity_method(
            WebhookActivities.give_up_delivery,
            delivery,
            start_to_close_timeout=BOOKS_TIMEOUT,
            retry_policy=RETRIES,
            summary="give up",
        )
