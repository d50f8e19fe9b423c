"""What a workflow tells our books and what it learns from them. Bookings are idempotent: a repeat changes nothing.

What histories of earlier versions hold has no `act`, and leaves nothing in the audit log.
"""

from datetime import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel

from contracts.audit import Act, Deed
from contracts.failures import Failure
from contracts.fulfilments import DEFAULT_WAREHOUSE, Fulfilment, FulfilmentStatus, OrderLine
from contracts.money import Money
from contracts.orders import Address, Order, OrderRules, OrderStatus, Phase, PlaceOrder, TimelineEntry
from contracts.providers import CancelShipmentRequest, ChargeRequest, FraudCheck, RefundRequest, ShipRequest
from contracts.steps import Step, StepName

Call = TypeVar("Call", FraudCheck, ChargeRequest, ShipRequest, CancelShipmentRequest, RefundRequest)


class Booking(BaseModel, frozen=True):
    """`at` is the workflow's clock; `known` the last timeline sequence that the workflow has seen."""

    order_id: str
    at: datetime
    known: int


class Reserve(BaseModel, frozen=True):
    order: PlaceOrder
    at: datetime
    known: int


class ProviderStep(Booking, Generic[Call], frozen=True):
    """A provider call, and the booking of its outcome; `step` is what our books announced it as."""

    step: Step
    call: Call


class Amend(Booking, frozen=True):
    """Take what no warehouse has off the order; `act` is an operator's, for somebody else."""

    rules: OrderRules
    act: Act | None = None


class ChangeAddress(Booking, frozen=True):
    """`key` tells this change from the order's other ones; `act` is an operator's, for somebody else."""

    key: str
    ship_to: Address
    act: Act | None = None


class Approve(Booking, frozen=True):
    approved_by: str
    act: Act | None = None


class BeginUndo(Booking, frozen=True):
    """Turn a fulfilment round, or the order with all that is open of it: from here on it only goes back.

    `fulfilment` is None for the whole order, and `status` then what it will be. `even_if_shipping` is for an order that
    an operator or a refusal stopped after the carrier may have heard of it; a customer's cancel comes too late then,
    and our books refuse to turn. `deed` is what an operator did to have the order turn round.
    """

    fulfilment: int | None = None
    status: OrderStatus
    failure: Failure | None
    detail: str
    resolved_by: str | None = None
    even_if_shipping: bool
    deed: Deed | None = None


class FinishUndo(Booking, frozen=True):
    """Release what a fulfilment holds, the first thing done and so the last undone."""

    fulfilment: int = 1


class Park(Booking, frozen=True):
    """`key` tells this stop from the order's other ones; `left` says in words what is left to do or undo.

    `step` of `fulfilment` is the call that could not be settled, or the first of several.
    """

    key: str
    step: StepName
    fulfilment: int = 1
    left: str


class Retry(Booking, frozen=True):
    key: str
    retried_by: str
    act: Act | None = None


class Resolve(Booking, frozen=True):
    status: OrderStatus
    resolved_by: str
    act: Act | None = None


class Amendment(BaseModel, frozen=True):
    """What an order still holds, and what was taken off it."""

    lines: tuple[OrderLine, ...]
    removed_lines: tuple[OrderLine, ...]
    total: Money


class Progress(BaseModel, frozen=True):
    """Where our books stand after a booking; `entries` are those after the booking's `known`.

    A booking of one `fulfilment` tells of that one and its steps: what many fulfilments are told in one workflow task
    has to stay within what Temporal takes. `ship_to` and `amendment` are set once they differ from what was accepted.
    """

    status: OrderStatus
    phase: Phase
    failure: Failure | None
    fulfilment: int | None = None
    fulfilments: tuple[Fulfilment, ...] = ()
    steps: tuple[Step, ...]
    entries: tuple[TimelineEntry, ...]
    ship_to: Address | None = None
    amendment: Amendment | None = None
    revision: int = 0
    updated_at: datetime

    def applied_to(self, order: Order) -> Order:
        """The order as it stands now. Bookings made side by side may be heard of in either order."""
        if self.revision < order.revision:
            return order if self.fulfilment is None else order.model_copy(update=self._parts(order))
        amendment = self.amendment or order
        return order.model_copy(
            update={
                **self._parts(order),
                "status": self.status,
                "phase": self.phase,
                "failure": self.failure,
                "timeline": order.timeline
                + tuple(entry for entry in self.entries if entry.sequence > order.timeline[-1].sequence),
                "ship_to": self.ship_to or order.ship_to,
                "lines": amendment.lines,
                "removed_lines": amendment.removed_lines,
                "total": amendment.total,
                "revision": self.revision,
                "updated_at": self.updated_at,
            }
        )

    def _parts(self, order: Order) -> dict[str, tuple[Fulfilment, ...] | tuple[Step, ...]]:
        """The order's fulfilments and steps, with those that this tells of as it tells of them."""
        told = self.fulfilments or (self._only_fulfilment(order),)
        fulfilments = {one.number: one for one in (*order.fulfilments, *told)}
        steps = {(step.name, step.fulfilment): step for step in (*order.steps, *self.steps)}
        in_order = sorted(steps.values(), key=lambda step: (step.begun_at, step.fulfilment, step.name))
        return {"fulfilments": tuple(fulfilments.values()), "steps": tuple(in_order)}

    def goes_forward(self, fulfilment: int) -> bool:
        """Whether a fulfilment is still to be sent."""
        return any(one.number == fulfilment and one.goes_forward for one in self.fulfilments)

    def _only_fulfilment(self, order: Order) -> Fulfilment:
        """What histories mean that were written when orders had one fulfilment, and did not name it."""
        undone = FulfilmentStatus.CANCELLED
        status = FulfilmentStatus.PROCESSING
        if self.phase is Phase.CLOSED:
            status = FulfilmentStatus.SHIPPED if self.status is OrderStatus.COMPLETED else undone
        return Fulfilment(
            number=1,
            warehouse=DEFAULT_WAREHOUSE,
            lines=order.lines,
            status=status,
            ends_as=undone if self.phase is Phase.UNDOING else None,
        )
