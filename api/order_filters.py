"""What lists and exports of orders can be narrowed by."""

from pydantic import BaseModel, Field

from api.instants import Instant
from contracts.orders import OrderStatus
from contracts.text import Sku
from database.orders import OrderFilter


class FilterQuery(BaseModel, extra="forbid"):
    """Filters; they may be combined."""

    status: OrderStatus | None = Field(default=None, description="only orders with this status")
    created_after: Instant | None = Field(
        default=None, description="only orders accepted later than this", examples=["2026-03-01T12:00:00Z"]
    )
    sku: Sku | None = Field(default=None, description="only orders with a line of this SKU", examples=["TEE-BLACK-M"])

    @property
    def wanted(self) -> OrderFilter:
        return OrderFilter(status=self.status, created_after=self.created_after, sku=self.sku)
