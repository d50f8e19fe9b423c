"""A shipment on its way, as the carrier tells of it and as our books decide."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field

from contracts.inbound import ProviderWord

HOUR_S = 60 * 60
DAY_S = 24 * HOUR_S

# A time that the carrier gives: any that it can mean, and that every party to it can keep.
CarrierTime = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC))]


class ShipmentStatus(StrEnum):
    """How far a parcel is. `booked`: the carrier has taken it; `cancelled`: it was called back."""

    BOOKED = "booked"
    DISPATCHED = "dispatched"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (ShipmentStatus.DELIVERED, ShipmentStatus.CANCELLED)


JOURNEY = (ShipmentStatus.BOOKED, ShipmentStatus.DISPATCHED, ShipmentStatus.DELIVERED)
_POSITIONS: Mapping[str, int] = {status.value: position for position, status in enumerate(JOURNEY)}


class TrackingSource(StrEnum):
    """How we know: the carrier told us, or it answered when asked."""

    WEBHOOK = "webhook"
    POLL = "poll"


class TrackingStep(BaseModel, frozen=True):
    """A step of a shipment's journey as the carrier tells it. `event_id` is of this telling alone, within its source.

    `step` is the carrier's word, which may be one that we don't know; `carrier_id` is its id of the shipment.
    """

    source: TrackingSource
    event_id: str
    carrier_id: str
    step: str
    occurred_at: datetime


class TrackingOutcome(StrEnum):
    """What our books made of a step; `kept` may still change."""

    KEPT = "kept"
    APPLIED = "applied"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


class Verdict(BaseModel, frozen=True):
    """`reason` says in words why a step was not applied."""

    outcome: TrackingOutcome
    reason: str | None = None


def verdict_on(step: str, status: ShipmentStatus, *, is_on_record: bool) -> Verdict:
    """What becomes of a step that is told of a shipment of this status: a parcel goes forward only, step by step.

    A step that skips one is early, and waits, unless it `is_on_record`: the carrier's own record says so when asked.
    """
    if step == status:
        return Verdict(outcome=TrackingOutcome.DUPLICATE, reason=f"it is {status} already")
    if status is ShipmentStatus.CANCELLED:
        return Verdict(outcome=TrackingOutcome.REFUSED, reason="it was cancelled")
    if step == ShipmentStatus.CANCELLED:
        return Verdict(outcome=TrackingOutcome.REFUSED, reason="only its order cancels a shipment")
    if step not in _POSITIONS:
        return Verdict(outcome=TrackingOutcome.REFUSED, reason="not a step that we know")
    steps_ahead = _POSITIONS[step] - _POSITIONS[status]
    if steps_ahead < 0:
        return Verdict(outcome=TrackingOutcome.REFUSED, reason=f"backwards: it is {status} already")
    if steps_ahead > 1 and not is_on_record:
        return Verdict(outcome=TrackingOutcome.KEPT, reason=f"early: it is only {status}")
    return Verdict(outcome=TrackingOutcome.APPLIED)


def in_order_of_journey(step: str) -> int:
    """A key to sort by, so that steps that were told in any order find each other; unknown ones come last."""
    return _POSITIONS.get(step, len(_POSITIONS))


class TrackedShipment(BaseModel, frozen=True):
    """A shipment in our books. The times but `booked_at` are the carrier's."""

    fulfilment_id: str
    order_id: str
    carrier_id: str
    status: ShipmentStatus
    booked_at: datetime
    dispatched_at: datetime | None = None
    delivered_at: datetime | None = None


class CarrierRecord(BaseModel, frozen=True):
    """What the carrier has on record of a shipment when it is asked. A step may have no time though it has been."""

    status: ProviderWord
    dispatched_at: CarrierTime | None = None
    delivered_at: CarrierTime | None = None

    def steps(self, asked_at: datetime) -> dict[str, datetime]:
        """The steps that the parcel has behind it, and when; a carrier that gives no time leaves us `asked_at`."""
        times = {ShipmentStatus.DISPATCHED: self.dispatched_at, ShipmentStatus.DELIVERED: self.delivered_at}
        steps = {step.value: at or asked_at for step, at in times.items() if at or step == self.status}
        return steps if self.status in _POSITIONS else {**steps, self.status: asked_at}


class ShipmentRules(BaseModel, frozen=True):
    """How long the carrier may be silent, in seconds: before it is asked, and before somebody has to look at it."""

    poll_after_s: int = 6 * HOUR_S
    give_up_after_s: int = 30 * DAY_S


class Followed(BaseModel, frozen=True):
    """How far a workflow is when it goes on in a fresh run. `since` is when the shipment last moved."""

    status: ShipmentStatus
    since: datetime
    polls: int


class FollowShipment(BaseModel, frozen=True):
    """What starts the following of a shipment, once it is booked."""

    fulfilment_id: str
    order_id: str
    carrier_id: str
    rules: ShipmentRules = ShipmentRules()
    followed: Followed | None = None


class ShipmentCheck(BaseModel, frozen=True):
    """What the activities of a shipment are given; `at` is the workflow's clock."""

    carrier_id: str
    order_id: str
    at: datetime
