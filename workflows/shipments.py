"""The way of a shipment: the carrier tells of its steps, and is asked when it tells nothing for long."""

from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities.shipments import ShipmentActivities
from contracts import queues
from contracts.attention import AttentionItem, AttentionKind
from contracts.shipments import (
    DAY_S,
    Followed,
    FollowShipment,
    ShipmentCheck,
    ShipmentRules,
    ShipmentStatus,
    TrackingStep,
)
from workflows.calls import HEARTBEAT_TIMEOUT, PROVIDER_RETRIES, PROVIDER_TRY, book

# docs/orders.md gives the reason.
POLL_WINDOW = timedelta(minutes=10)


@workflow.defn(name="Shipment")
class ShipmentWorkflow:
    """Follows a shipment until it is delivered, called back, or given up on."""

    @workflow.init
    def __init__(self, follow: FollowShipment) -> None:
        self.follow = follow
        before = follow.followed or Followed(status=ShipmentStatus.BOOKED, since=workflow.now(), polls=0)
        self.status = before.status
        self.since = before.since
        self.polls = before.polls
        self.silent_since = workflow.now()
        self.has_news = False
        self.gave_up = False

    @workflow.run
    async def run(self, follow: FollowShipment) -> ShipmentStatus:
        """Returns what the shipment is by then."""
        while self.has_news or not self.is_over:
            if workflow.info().is_continue_as_new_suggested() and not self.has_news:
                self.go_on_afresh()
            if await self.is_told_in_time():
                await self.settle()
            elif not await self.moved_by_poll() and self.is_overdue:
                await self.give_up()
        return self.status

    @workflow.signal
    def tracked(self, step: TrackingStep) -> None:
        """The carrier has told of a step. It is in our books already, which decide."""
        self.has_news = True

    async def is_told_in_time(self) -> bool:
        patience_s = min(self.rules.poll_after_s * 2**self.polls, max(self.rules.poll_after_s, DAY_S))
        due = self.silent_since + timedelta(seconds=patience_s)
        workflow.set_current_details(
            f"**{self.status}** since {self.since:%Y-%m-%d %H:%M} UTC. "
            f"The carrier is asked at {due:%Y-%m-%d %H:%M} UTC, unless it tells more before."
        )
        try:
            await workflow.wait_condition(
                lambda: self.has_news,
                timeout=max(due - workflow.now(), timedelta()),
                timeout_summary="until the carrier is asked",
            )
        except TimeoutError:
            return False
        return True

    async def settle(self) -> None:
        self.has_news = False
        self.learn(await book(ShipmentActivities.settle_shipment, self.check, what="decide what the carrier told"))

    async def moved_by_poll(self) -> bool:
        """Ask the carrier, over its outages, unless it tells something after all."""
        before = self.status
        poll = workflow.start_activity_method(
            ShipmentActivities.poll_shipment,
            self.check,
            task_queue=queues.CARRIER,
            start_to_close_timeout=PROVIDER_TRY,
            schedule_to_close_timeout=POLL_WINDOW,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=PROVIDER_RETRIES,
            summary="ask the carrier",
        )
        await workflow.wait_condition(lambda: poll.done() or self.has_news)
        if not poll.done():
            poll.cancel()
        self.polls += 1
        self.silent_since = workflow.now()
        # A carrier that is away is asked again later.
        with suppress(ActivityError):
            self.learn(await poll)
        return self.status is not before

    def learn(self, status: ShipmentStatus) -> None:
        """Only a step on its way ends the carrier's silence, whatever else it tells."""
        if status is not self.status:
            self.status = status
            self.since = self.silent_since = workflow.now()
            self.polls = 0

    async def give_up(self) -> None:
        """Leave the shipment to people. What the carrier tells later is still decided, without this workflow."""
        item = AttentionItem(
            kind=AttentionKind.SHIPMENT_OVERDUE,
            source=self.follow.carrier_id,
            order_id=self.follow.order_id,
            detail=f"{self.follow.fulfilment_id} is {self.status} since {self.since:%Y-%m-%d}, says its carrier",
        )
        await book(ShipmentActivities.report_overdue_shipment, item, what="report the shipment as overdue")
        self.gave_up = True

    def go_on_afresh(self) -> None:
        followed = Followed(status=self.status, since=self.since, polls=self.polls)
        workflow.continue_as_new(self.follow.model_copy(update={"followed": followed}))

    @property
    def rules(self) -> ShipmentRules:
        return self.follow.rules

    @property
    def check(self) -> ShipmentCheck:
        return ShipmentCheck(carrier_id=self.follow.carrier_id, order_id=self.follow.order_id, at=workflow.now())

    @property
    def is_over(self) -> bool:
        return self.status.is_final or self.gave_up

    @property
    def is_overdue(self) -> bool:
        return workflow.now() - self.since >= timedelta(seconds=self.rules.give_up_after_s)

    @workflow.query
    def view(self) -> ShipmentStatus:
        return self.status
