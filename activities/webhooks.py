"""The attempts of webhook deliveries."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.metrics import UNSEEN, WorkerMetrics
from activities.waiting_lines import WaitingLines
from contracts.webhooks import Attempt, AttemptResult, Deliver, DeliveryStatus
from database.webhook_attempts import Answered, AttemptRepository, EndpointBusy, Message, Settled
from providers.webhook_sender import WebhookAnswer, WebhookSender, WebhookUnreachable
from providers.webhook_signing import signed_headers
from providers.webhook_urls import UrlNotAllowed

# For so long an attempt waits in line for one of its endpoint's places: enough where the receiver is quick.
IN_LINE_S = 1.0
# Those that got none come back after this, tripling: soon when the receiver is quick after all, and hardly ever when it
# hangs, or they would keep the worker from the other endpoints.
BUSY_FIRST_S = 0.5
BUSY_FACTOR = 3
BUSY_LONGEST_S = 30.0

GONE = 410
NOT_ALLOWED = "url_not_allowed"
MAY_ASK_FOR_A_PAUSE = (429, 503)

log = structlog.get_logger()


class WebhookActivities:
    """Sends webhooks. URL, secrets and body stay out of every history."""

    def __init__(self, attempts: AttemptRepository, sender: WebhookSender, metrics: WorkerMetrics = UNSEEN) -> None:
        self.attempts = attempts
        self.sender = sender
        self.metrics = metrics
        self.lines = WaitingLines()

    @activity.defn
    async def attempt_delivery(self, attempt: Attempt) -> AttemptResult:
        """Send a delivery's message once, and record what came of it.

        A repeat after the worker was lost may send it twice, under the same webhook-id; once recorded it is not sent
        again. Raises endpoint_busy, which counts as no attempt and is retried.
        """
        message = await self._begin(attempt)
        if isinstance(message, Settled):
            return AttemptResult(
                status=message.status,
                response_status=message.response_status,
                retry_after_s=message.retry_after_s,
            )
        answered = await self._send(message)
        if not answered.succeeded:
            log.warning("webhook not delivered", response_status=answered.response_status, error=answered.error)
        self.metrics.webhook_attempt(_counted_as(answered), answered.duration_ms / 1_000)
        status = await self.attempts.record(attempt, answered)
        if status is not DeliveryStatus.PENDING:
            self.metrics.webhook_delivery(status)
        self.lines.left(message.endpoint_id)
        return AttemptResult(
            status=status, response_status=answered.response_status, retry_after_s=answered.retry_after_s
        )

    @activity.defn
    async def give_up_delivery(self, delivery: Deliver) -> DeliveryStatus:
        """End a delivery without a further attempt, unless it has ended; returns how it ended."""
        return await self.attempts.give_up(delivery.delivery_id)

    async def _begin(self, attempt: Attempt) -> Message | Settled:
        """Take one of the endpoint's places, waiting for one a moment. Raises endpoint_busy."""
        until = asyncio.get_running_loop().time() + IN_LINE_S
        while True:
            try:
                return await self.attempts.begin(attempt)
            except EndpointBusy as busy:
                if not await self.lines.wait(busy.endpoint_id, until):
                    raise _come_back() from None

    async def _send(self, message: Message) -> Answered:
        """What the receiver said, if anything."""
        signed = signed_headers(message.secrets, message.webhook_id, datetime.now(UTC), message.body)
        try:
            answer = await self.sender.send(
                message.url, headers={"Content-Type": "application/json", **signed}, body=message.body
            )
        except UrlNotAllowed as refused:
            return _unanswered(message, f"{NOT_ALLOWED}: {refused}", 0)
        except WebhookUnreachable as unreachable:
            return _unanswered(message, unreachable.reason, unreachable.duration_ms)
        return _answered(message, answer)


def _answered(message: Message, answer: WebhookAnswer) -> Answered:
    succeeded = 200 <= answer.status < 300
    return Answered(
        url=message.url,
        succeeded=succeeded,
        gone=answer.status == GONE,
        response_status=answer.status,
        duration_ms=answer.duration_ms,
        error=None if succeeded else f"the receiver answered {answer.status}",
        retry_after_s=answer.retry_after_s if answer.status in MAY_ASK_FOR_A_PAUSE else None,
    )


def _unanswered(message: Message, error: str, duration_ms: int) -> Answered:
    return Answered(
        url=message.url, succeeded=False, gone=False, response_status=None, duration_ms=duration_ms, error=error
    )


def _counted_as(answered: Answered) -> str:
    if answered.succeeded:
        return "succeeded"
    if answered.response_status is None:
        return "not_allowed" if (answered.error or "").startswith(NOT_ALLOWED) else "unreachable"
    return "refused" if 400 <= answered.response_status < 500 else "failed"


def _come_back() -> ApplicationError:
    # The power is bounded: this may go on for days.
    pause_s = min(BUSY_FIRST_S * BUSY_FACTOR ** min(activity.info().attempt - 1, 10), BUSY_LONGEST_S)
    return ApplicationError(
        "as many attempts as may be are under way to this endpoint",
        type="endpoint_busy",
        next_retry_delay=timedelta(seconds=pause_s * random.uniform(0.5, 1.0)),  # noqa: S311
        category=ApplicationErrorCategory.BENIGN,
    )
