"""An order as its clients, its workflow and our books see it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, Field

from contracts.money import Money
from contracts.shipments import ShipmentRules
from contracts.steps import Step, StepName, StepOutcome, find_step


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


class FailureCode(StrEnum):
    OUT_OF_STOCK = "out_of_stock"
    PAYMENT_DECLINED = "payment_declined"
    FRAUD_SUSPECTED = "fraud_suspected"
    APPROVAL_REJECTED = "approval_rejected"
    APPROVAL_TIMED_OUT = "approval_timed_out"
    CUSTOMER_TIMED_OUT = "customer_timed_out"
    SHIPPING_FAILED = "shipping_failed"
    CANCELLED_BY_CUSTOMER = "cancelled_by_customer"


class Failure(BaseModel, frozen=True):
    """Why an order did not complete, for programs and for people."""

    code: FailureCode
    message: str


class EventType(StrEnum):
    """The business events of an order's timeline."""

    ACCEPTED = "accepted"
    RESERVED = "reserved"
    APPROVAL_REQUESTED = "approval_requested"
    APPROVED = "approved"
    CHARGED = "charged"
    SHIPPED = "shipped"
    COMPLETED = "completed"
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


class OrderLine(BaseModel, frozen=True):
    """Units of one SKU at the price fixed when the order was accepted."""

    sku: str
    name: str
    quantity: Annotated[int, Field(ge=1, le=1_000)]
    unit_price: Money


class OrderRules(BaseModel, frozen=True):
    """The settings an order was accepted under; a later change of settings does not touch it."""

    approval_threshold: int
    approval_deadline_s: int
    retry_window_s: int
    shipment_poll_after_s: int = ShipmentRules().poll_after_s


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

    @property
    def needs_approval(self) -> bool:
        return self.total.amount > self.rules.approval_threshold


class Payment(BaseModel, frozen=True):
    """The order's money: `pending` covers everything that is not known yet."""

    status: str = Field(description="pending, charged, declined or refunded")
    amount: Money
    charge_id: str | None = None
    refund_id: str | None = None


class Shipment(BaseModel, frozen=True):
    id: str
    status: str = Field(description="booked or cancelled")


class Fulfilment(BaseModel, frozen=True):
    """What is sent together."""

    id: str
    status: str = Field(description="pending, processing, shipped, failed or cancelled")
    lines: tuple[OrderLine, ...]
    shipment: Shipment | None = None


class Order(BaseModel, frozen=True):
    """Everything our books know of one order."""

    id: str
    customer_id: str
    status: OrderStatus
    phase: Phase
    lines: tuple[OrderLine, ...]
    total: Money
    ship_to: Address | None
    failure: Failure | None = None
    timeline: tuple[TimelineEntry, ...] = ()
    steps: tuple[Step, ...] = ()
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

    def step(self, name: StepName) -> Step | None:
        return find_step(self.steps, name)

    @property
    def shipping_has_begun(self) -> bool:
        """Whether the carrier may know of this order: from here on only an operator can stop it."""
        return self.step(StepName.SHIP) is not None

    @property
    def payment(self) -> Payment | None:
        """None before a charge was announced, and when it is known that there was none."""
        charge, refund = self.step(StepName.CHARGE), self.step(StepName.REFUND)
        if charge is None or charge.outcome is StepOutcome.ABSENT:
            return None
        if refund is not None and refund.outcome is StepOutcome.SUCCEEDED:
            return Payment(status="refunded", amount=self.total, charge_id=charge.reference, refund_id=refund.reference)
        if charge.outcome is StepOutcome.REFUSED:
            return Payment(status="declined", amount=self.total)
        status = "charged" if charge.outcome is StepOutcome.SUCCEEDED else "pending"
        return Payment(status=status, amount=self.total, charge_id=charge.reference)

    @property
    def fulfilments(self) -> tuple[Fulfilment, ...]:
        ship, cancel = self.step(StepName.SHIP), self.step(StepName.CANCEL_SHIPMENT)
        cancelled = cancel is not None and cancel.outcome is StepOutcome.SUCCEEDED
        shipment = None
        if ship is not None and ship.reference is not None:
            shipment = Shipment(id=ship.reference, status="cancelled" if cancelled else "booked")
        if self.status is OrderStatus.COMPLETED:
            status = "shipped"
        elif ship is not None and ship.outcome is StepOutcome.REFUSED:
            status = "failed"
        elif self.status.is_final:
            status = "cancelled"
        else:
            status = "pending" if ship is None else "processing"
        return (Fulfilment(id=f"{self.id}-1", status=status, lines=self.lines, shipment=shipment),)


class OrderOutcome(BaseModel, frozen=True):
    """What an order's workflow returns; the books hold the rest."""

    status: OrderStatus
    failure: Failure | None = None
