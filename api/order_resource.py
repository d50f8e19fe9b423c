"""An order as clients see it."""

from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from api.fulfilment_resource import FulfilmentResource, PaymentResource
from contracts.failures import Failure
from contracts.fulfilments import OrderLine
from contracts.ids import OrderId
from contracts.money import Money
from contracts.orders import Address, Order, OrderStatus, TimelineEntry

_ID = "ord_3ZGVBHQ8S1KX5M7T2N4R6W8Y0C"
_LINE: JsonDict = {
    "sku": "TEE-BLACK-M",
    "name": "T-shirt",
    "quantity": 2,
    "unit_price": {"amount": 1999, "currency": "usd"},
}
EXAMPLE: JsonDict = {
    "id": _ID,
    "status": "accepted",
    "customer_id": "ada",
    "lines": [_LINE],
    "removed_lines": [],
    "total": {"amount": 3998, "currency": "usd"},
    "ship_to": {
        "name": "Ada",
        "line1": "12 Long St",
        "line2": None,
        "city": "Oslo",
        "postal_code": "0150",
        "country": "NO",
    },
    "fulfilments": [],
    "payment": None,
    "failure": None,
    "timeline": [{"sequence": 1, "at": "2026-03-01T12:00:00Z", "type": "accepted", "detail": "39.98 usd"}],
    "created_at": "2026-03-01T12:00:00Z",
    "updated_at": "2026-03-01T12:00:00Z",
    "source": "workflow",
    "stale": False,
    "links": {
        "self": f"/v1/orders/{_ID}",
        "cancel": f"/v1/orders/{_ID}/cancel",
        "customer_action": f"/v1/orders/{_ID}/customer-action",
        "shipping_address": f"/v1/orders/{_ID}/shipping-address",
    },
}


class Source(StrEnum):
    """Who answered: the order's workflow itself, or what is written down of it."""

    WORKFLOW = "workflow"
    PROJECTION = "projection"


class OrderLinks(BaseModel, frozen=True):
    self: str
    cancel: str
    customer_action: str
    shipping_address: str


class OrderResource(BaseModel):
    """An order. `stale` says whether it may be behind; times are UTC."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [EXAMPLE]})

    id: OrderId
    status: OrderStatus
    customer_id: str
    lines: tuple[OrderLine, ...]
    removed_lines: tuple[OrderLine, ...] = Field(description="what was not available, and taken off by the customer")
    total: Money
    ship_to: Address | None = Field(description="null for a moment after acceptance, when only its memo answers")
    fulfilments: tuple[FulfilmentResource, ...] = Field(description="empty until the stock is reserved")
    payment: PaymentResource | None
    failure: Failure | None
    timeline: tuple[TimelineEntry, ...]
    created_at: datetime
    updated_at: datetime
    source: Source
    stale: bool
    links: OrderLinks

    @classmethod
    def from_workflow(cls, order: Order) -> Self:
        return cls._of(order, Source.WORKFLOW, stale=False)

    @classmethod
    def from_projection(cls, order: Order) -> Self:
        """A final order does not change any more; any other may have moved on."""
        return cls._of(order, Source.PROJECTION, stale=not order.status.is_final)

    @classmethod
    def _of(cls, order: Order, source: Source, *, stale: bool) -> Self:
        url = f"/v1/orders/{order.id}"
        return cls(
            id=order.id,
            status=order.status,
            customer_id=order.customer_id,
            lines=order.lines,
            removed_lines=order.removed_lines,
            total=order.total,
            ship_to=order.ship_to,
            fulfilments=tuple(FulfilmentResource.of(order, fulfilment) for fulfilment in order.fulfilments),
            payment=PaymentResource.of(order),
            failure=order.failure,
            timeline=order.timeline,
            created_at=order.created_at,
            updated_at=order.updated_at,
            source=source,
            stale=stale,
            links=OrderLinks(
                self=url,
                cancel=f"{url}/cancel",
                customer_action=f"{url}/customer-action",
                shipping_address=f"{url}/shipping-address",
            ),
        )


class OrderList(BaseModel, frozen=True):
    """A page of orders, newest first."""

    items: tuple[OrderResource, ...]
    next_cursor: str | None = Field(
        description="for the next page; null on the last one", examples=["MTc3MjM2NjQwMDAwMDAwMC9vcmRf"]
    )
