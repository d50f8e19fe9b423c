"""Webhooks that we send, as their owners, their workflows and our tables know them (Standard Webhooks 1.0)."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, PositiveInt

from contracts.orders import EventType, OrderStatus
from contracts.shipments import ShipmentStatus


class WebhookEventType(StrEnum):
    ORDER_ACCEPTED = "order.accepted"
    ORDER_NEEDS_ATTENTION = "order.needs_attention"
    ORDER_COMPLETED = "order.completed"
    ORDER_PARTIALLY_COMPLETED = "order.partially_completed"
    ORDER_CANCELLED = "order.cancelled"
    ORDER_REJECTED = "order.rejected"
    ORDER_REFUNDED = "order.refunded"
    SHIPMENT_SHIPPED = "shipment.shipped"
    SHIPMENT_CANCELLED = "shipment.cancelled"
    SHIPMENT_DISPATCHED = "shipment.dispatched"
    SHIPMENT_DELIVERED = "shipment.delivered"
    ACCOUNT_CONFIRMED = "account.confirmed"
    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    JOB_TIMED_OUT = "job.timed_out"
    CATALOGUE_ITEM_CREATED = "catalogue.item_created"
    CATALOGUE_ITEM_UPDATED = "catalogue.item_updated"
    # Sent when an endpoint's owner asks for it, and no other time.
    TEST = "webhook.test"


# The entries of an order's timeline that its owner's webhooks tell.
TOLD_OF_ORDERS: Mapping[EventType, WebhookEventType] = {
    EventType.ACCEPTED: WebhookEventType.ORDER_ACCEPTED,
    EventType.NEEDS_ATTENTION: WebhookEventType.ORDER_NEEDS_ATTENTION,
    EventType.COMPLETED: WebhookEventType.ORDER_COMPLETED,
    EventType.PARTIALLY_COMPLETED: WebhookEventType.ORDER_PARTIALLY_COMPLETED,
    EventType.CANCELLED: WebhookEventType.ORDER_CANCELLED,
    EventType.REJECTED: WebhookEventType.ORDER_REJECTED,
    EventType.REFUNDED: WebhookEventType.ORDER_REFUNDED,
}

# Those that are told of a fulfilment, each with what that is then.
TOLD_OF_SHIPPING: Mapping[EventType, tuple[WebhookEventType, str]] = {
    EventType.SHIPPED: (WebhookEventType.SHIPMENT_SHIPPED, "shipped"),
    EventType.SHIPMENT_CANCELLED: (WebhookEventType.SHIPMENT_CANCELLED, "cancelled"),
}

# The steps of a shipment that its owner's webhooks tell.
TOLD_OF_SHIPMENTS: Mapping[ShipmentStatus, WebhookEventType] = {
    ShipmentStatus.DISPATCHED: WebhookEventType.SHIPMENT_DISPATCHED,
    ShipmentStatus.DELIVERED: WebhookEventType.SHIPMENT_DELIVERED,
}

_NAMESAKES = {status.value: status for status in OrderStatus}

EVERYTHING = "*"
JOB_FAMILY = "job.*"
FAMILIES = ("order.*", "shipment.*", JOB_FAMILY, "catalogue.*")
SUBSCRIPTIONS = (EVERYTHING, *FAMILIES, *(event for event in WebhookEventType if event is not WebhookEventType.TEST))


def _is_subscription(text: str) -> str:
    if text not in SUBSCRIPTIONS:
        raise ValueError(f"must be one of {', '.join(SUBSCRIPTIONS)}")
    return text


# What an endpoint asks for: one type of event, a family of them, or everything.
Subscription = Annotated[
    str, AfterValidator(_is_subscription), Field(json_schema_extra={"enum": [str(one) for one in SUBSCRIPTIONS]})
]


def subscriptions_to(event_type: str) -> tuple[str, ...]:
    """Every subscription that an event of this type is for."""
    return (event_type, f"{event_type.partition('.')[0]}.*", EVERYTHING)


def status_at(event: EventType, current: OrderStatus) -> OrderStatus:
    """What an order is at an event of its timeline, when it is `current` by the time the event is noted."""
    return _NAMESAKES.get(event.value, current)


class WebhookEvent(BaseModel, frozen=True):
    """Something to tell: `id` is now, at that time, of this status. `owner` is whose it is."""

    type: str
    id: str
    status: str
    at: datetime
    owner: str | None

    @property
    def body(self) -> str:
        """What is sent and signed, byte by byte."""
        payload = _Payload(type=self.type, timestamp=self.at, data=_Subject(id=self.id, status=self.status))
        return payload.model_dump_json()


class _Subject(BaseModel):
    id: str
    status: str


class _Payload(BaseModel):
    type: str
    timestamp: datetime
    data: _Subject


class EndpointStatus(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"


class DisabledReason(StrEnum):
    """Why nothing is sent any more: its owner says so, the receiver answered 410, or it failed for days."""

    OWNER = "owner"
    GONE = "gone"
    FAILING = "failing"


class WebhookEndpoint(BaseModel, frozen=True):
    """Where webhooks are sent. It has no owner when it is the system's: made by an operator, or configured."""

    id: str
    owner: str | None
    url: str
    event_types: tuple[str, ...]
    description: str | None
    status: EndpointStatus
    disabled_reason: DisabledReason | None
    created_at: datetime
    updated_at: datetime


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class WebhookDelivery(BaseModel, frozen=True):
    """One message to one endpoint. The last three but the times are those of its last attempt; `error` is one line."""

    id: str
    endpoint_id: str
    webhook_id: str
    event_type: str
    status: DeliveryStatus
    attempts: int
    response_status: int | None
    duration_ms: int | None
    error: str | None
    created_at: datetime
    updated_at: datetime


class Deliver(BaseModel, frozen=True):
    """What starts a delivery."""

    delivery_id: str


class Attempt(BaseModel, frozen=True):
    """The attempts of a delivery are counted from 1; after the `is_last` one it has failed."""

    delivery_id: str
    number: PositiveInt
    is_last: bool


class AttemptResult(BaseModel, frozen=True):
    """What became of the delivery by an attempt: while it is `pending` there is another one to make.

    `retry_after_s` is what the receiver asked for, from 0 to a day.
    """

    status: DeliveryStatus
    response_status: int | None = None
    retry_after_s: float | None = None
