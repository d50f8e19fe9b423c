"""What a workflow tells our books and what it learns from them. Bookings are idempotent: a repeat changes nothing."""

from datetime import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel

from contracts.orders import Failure, Order, OrderStatus, Phase, PlaceOrder, TimelineEntry
from contracts.providers import CancelShipmentRequest, ChargeRequest, RefundRequest, ShipRequest
from contracts.steps import Step, StepName

Call = TypeVar("Call", ChargeRequest, ShipRequest, CancelShipmentRequest, RefundRequest)


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


class Approve(Booking, frozen=True):
    approved_by: str


class BeginUndo(Booking, frozen=True):
    """Turn the order round: from here on it only goes back.

    `even_if_shipping` is for an order that an operator or a refusal stopped after the carrier may have heard of it;
    a customer's cancel comes too late then, and our books refuse to turn.
    """

    status: OrderStatus
    failure: Failure | None
    detail: str
    resolved_by: str | None
    even_if_shipping: bool


class Park(Booking, frozen=True):
    """`key` tells this stop from the order's other ones; `left` says in words what is left to do or undo.

    `step` is the call that could not be settled.
    """

    key: str
    step: StepName
    left: str


class Retry(Booking, frozen=True):
    key: str
    retried_by: str


class Resolve(Booking, frozen=True):
    status: OrderStatus
    resolved_by: str


class Progress(BaseModel, frozen=True):
    """Where our books stand after a booking; `entries` are those after the booking's `known`."""

    status: OrderStatus
    phase: Phase
    failure: Failure | None
    steps: tuple[Step, ...]
    entries: tuple[TimelineEntry, ...]
    updated_at: datetime

    def applied_to(self, order: Order) -> Order:
        return order.model_copy(
            update={
                "status": self.status,
                "phase": self.phase,
                "failure": self.failure,
                "steps": self.steps,
                "timeline": order.timeline + self.entries,
                "updated_at": self.updated_at,
            }
        )
