"""An order as its clients, its workflow and our books see it."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import BaseModel

from contracts.failures import Failure
from contracts.fulfilments import Fulfilment, FulfilmentStatus, OrderLine
from contracts.money import Money
from contracts.shipments import TrackedShipment
from contracts.steps import WHOLE_ORDER, Step, StepName, find_step


class OrderStatus(StrEnum):
    ACCEPTED = "accepted"
    AWAITING_APPROVAL = "awaiting_approval"
    AWAITING_CUSTOMER = "awaiting_customer"
    PROCESSING = "processing"
    NEEDS_ATTENTION = "needs_attention"
    COMPLETED = "completed"
    PARTIALLY_COMPLETED = "partially_completed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    @property
    def is_final(self) -> bool:
        return self in FINAL_STATUSES


FINAL_STATUSES = frozenset(
    {OrderStatus.COMPLETED, OrderStatus.PARTIALLY_COMPLETED, OrderStatus.CANCELLED, OrderStatus.REJECTED}
)


class Phase(StrEnum):
    """Which way our books let an order move. It only ever goes down this list, under the order row's lock."""

    FORWARD = "forward"
    UNDOING = "undoing"
    CLOSED = "closed"


class EventType(StrEnum):
    """The business events of an order's timeline."""

    ACCEPTED = "accepted"
    RESERVED = "reserved"
    CUSTOMER_ASKED = "customer_asked"
    AMENDED = "amended"
    ADDRESS_CHANGED = "address_changed"
    APPROVAL_REQUESTED = "approval_requested"
    APPROVED = "approved"
    CHARGED = "charged"
    SHIPPED = "shipped"
    COMPLETED = "completed"
    PARTIALLY_COMPLETED = "partially_completed"
    COMPENSATION_STARTED = "compensation_started"
    SHIPMENT_CANCELLED = "shipment_cancelled"
    REFUNDED = "refunded"
    RESERVATION_RELEASED = "reservation_released"
    NEEDS_ATTENTION = "needs_attention"
    RETRIED = "retried"
    RESOLVED = "resolved"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


class TimelineEntry(BaseModel, frozen=True):
    """One business event. `sequence` counts from 1 without a gap; `at` is the workflow's clock, UTC."""

    sequence: int
    at: datetime
    type: EventType
    detail: str


class Address(BaseModel, frozen=True):
    """Where a parcel goes. `country` is ISO 3166-1 alpha-2."""

    name: str
    line1: str
    line2: str | None = None
    city: str
    postal_code: str
    country: str


class OrderRules(BaseModel, frozen=True):
    """The settings an order was accepted under; a later change of settings does not touch it."""

    approval_threshold: int
    approval_deadline_s: int
    retry_window_s: int
    customer_deadline_s: int = 72 * 60 * 60
    # None for orders from before shipments were followed.
    shipment_poll_after_s: int | None = None


class PlaceOrder(BaseModel, frozen=True):
    """An accepted order: the input of its workflow."""

    order_id: str
    customer_id: str
    lines: tuple[OrderLine, ...]
    total: Money
    payment_method: str
    ship_to: Address
    accepted_at: datetime
    request_hash: str
    request_id: str
    rules: OrderRules


class Order(BaseModel, frozen=True):
    """Everything our books know of one order.

    `fulfilments` is empty until the stock is reserved. `revision` counts the bookings. `shipments` go on when the
    order is over: our books know of them, its workflow does not.
    """

    id: str
    customer_id: str
    status: OrderStatus
    phase: Phase
    lines: tuple[OrderLine, ...]
    removed_lines: tuple[OrderLine, ...] = ()
    total: Money
    ship_to: Address | None
    fulfilments: tuple[Fulfilment, ...] = ()
    failure: Failure | None = None
    timeline: tuple[TimelineEntry, ...] = ()
    steps: tuple[Step, ...] = ()
    shipments: tuple[TrackedShipment, ...] = ()
    revision: int = 0
    created_at: datetime
    updated_at: datetime

    @classmethod
    def accepted(cls, order: PlaceOrder) -> Self:
        """The order as it is before its first step."""
        return cls.as_accepted(
            order.order_id, order.customer_id, order.lines, order.total, order.ship_to, order.accepted_at
        )

    @classmethod
    def as_accepted(
        cls,
        order_id: str,
        customer_id: str,
        lines: tuple[OrderLine, ...],
        total: Money,
        ship_to: Address | None,
        accepted_at: datetime,
    ) -> Self:
        """As `accepted`, for who may not know the address. The reservation writes just this timeline entry."""
        return cls(
            id=order_id,
            customer_id=customer_id,
            status=OrderStatus.ACCEPTED,
            phase=Phase.FORWARD,
            lines=lines,
            total=total,
            ship_to=ship_to,
            timeline=(TimelineEntry(sequence=1, at=accepted_at, type=EventType.ACCEPTED, detail=str(total)),),
            created_at=accepted_at,
            updated_at=accepted_at,
        )

    def step(self, name: StepName, fulfilment: int = WHOLE_ORDER) -> Step | None:
        return find_step(self.steps, name, fulfilment)

    def fulfilment(self, number: int) -> Fulfilment:
        """Raises KeyError for a number that the order does not have."""
        for fulfilment in self.fulfilments:
            if fulfilment.number == number:
                return fulfilment
        raise KeyError(number)

    @property
    def shipping_has_begun(self) -> bool:
        """Whether the carrier may have something of this order: from here on only an operator can stop it."""
        return shipping_has_begun(self.steps)

    @property
    def has_shipped(self) -> bool:
        """Whether something of this order was paid and handed to the carrier, for good."""
        return any(
            fulfilment.status in (FulfilmentStatus.SHIPPED, FulfilmentStatus.DELIVERED)
            for fulfilment in self.fulfilments
        )


def shipping_has_begun(steps: Iterable[Step]) -> bool:
    """Whether a shipment was announced that was not refused: the carrier may have it."""
    return any(step.name is StepName.SHIP and step.may_stand for step in steps)


class OrderOutcome(BaseModel, frozen=True):
    """What an order's workflow returns; the books hold the rest."""

    status: OrderStatus
    failure: Failure | None = None
