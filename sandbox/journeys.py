"""The journeys that shipments are to take: which steps, in which order, how slowly, and whether anybody is told."""

import asyncio
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sandbox.calls import now
from sandbox.carrier_webhooks import CarrierWebhooks, Event
from sandbox.faults import EVERYTHING, LONGEST_DELAY_S
from sandbox.ledger import Ledger, Shipment
from sandbox.waiting import Waiting

# A word that may stand in the type of a webhook.
Word = Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")]


class JourneyPlan(BaseModel):
    """The body of POST /journeys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    match: str = Field(
        default=EVERYTHING, min_length=1, description="an order, shipment id or reference, or * for everything"
    )
    steps: Annotated[list[Word], Field(min_length=1, max_length=100)]
    delay_s: float = Field(default=0, ge=0, le=LONGEST_DELAY_S, allow_inf_nan=False, description="between steps")
    copies: int = Field(default=1, ge=1, le=10, description="how often each webhook is sent, under one id")
    silent: bool = Field(default=False, description="nobody is told; the status changes all the same")
    times: int | None = Field(default=None, ge=1, description="how many shipments take it; null: all")


@dataclass(slots=True)
class _Journey:
    plan: JourneyPlan
    taken: int = 0

    def concerns(self, shipment: Shipment) -> bool:
        is_spent = self.plan.times is not None and self.taken >= self.plan.times
        return not is_spent and (self.plan.match == EVERYTHING or self.plan.match in shipment.names)


class Journeys:
    """Has shipments take their journeys. Plans are kept in memory alone, as faults are."""

    def __init__(self, ledger: Ledger, waiting: Waiting, webhooks: CarrierWebhooks | None) -> None:
        self._ledger = ledger
        self._waiting = waiting
        self._webhooks = webhooks
        self._journeys: list[_Journey] = []
        self._under_way: set[asyncio.Task[None]] = set()

    def add(self, plan: JourneyPlan) -> None:
        """Have shipments take this journey: those that it names at once, if there are, and others when booked."""
        journey = _Journey(plan)
        self._journeys.append(journey)
        if plan.match != EVERYTHING:
            for shipment in self._ledger.shipments_called(plan.match):
                self._start(journey, shipment)

    def clear(self) -> None:
        """Forget every plan, and stop the journeys under way where they are."""
        self._journeys.clear()
        for task in self._under_way:
            task.cancel()

    def booked(self, shipment: Shipment) -> None:
        """Have a new shipment take the oldest journey that concerns it, if any."""
        for journey in self._journeys:
            if journey.concerns(shipment):
                self._start(journey, shipment)
                return

    def _start(self, journey: _Journey, shipment: Shipment) -> None:
        journey.taken += 1
        task = asyncio.create_task(self._travel(journey.plan, shipment.id))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _travel(self, plan: JourneyPlan, shipment_id: str) -> None:
        """Each step is told before the next one is taken, so that they are told in this order."""
        for number, step in enumerate(plan.steps):
            if number and plan.delay_s and await self._waiting.is_stopping_within(plan.delay_s):
                return
            with self._ledger.transaction():
                shipment = self._ledger.shipment(shipment_id)
                assert shipment is not None
                shipment = _after(shipment, step)
                self._ledger.move_shipment(shipment)
                occurred_at = _occurred_at(shipment, step)
                event_id = self._ledger.add_tracking(shipment, step, occurred_at)
            if self._webhooks is not None and not plan.silent:
                event = Event(event_id, step, occurred_at, shipment)
                await asyncio.gather(*(self._webhooks.tell(event) for _ in range(plan.copies)))


def _after(shipment: Shipment, step: str) -> Shipment:
    """How far the parcel really is: never back, whatever is told; one that was called back stays where it was."""
    at = now()
    match shipment.status, step:
        case "booked", "dispatched":
            return replace(shipment, status="dispatched", dispatched_at=at)
        case "booked" | "dispatched", "delivered":
            return replace(shipment, status="delivered", dispatched_at=shipment.dispatched_at or at, delivered_at=at)
        case _:
            return shipment


def _occurred_at(shipment: Shipment, step: str) -> str:
    """When the parcel took this step, however late it is told; an unknown one is taken now."""
    known = {"booked": shipment.created_at, "dispatched": shipment.dispatched_at, "delivered": shipment.delivered_at}
    return known.get(step) or now()
