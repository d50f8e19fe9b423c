"""What of an order is sent together, from one warehouse: paid, shipped and, if need be, undone by itself."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field

from contracts.failures import Failure
from contracts.money import Money

DEFAULT_WAREHOUSE = "wh_default"


class OrderLine(BaseModel, frozen=True):
    """Units of one SKU at the price fixed when the order was accepted."""

    sku: str
    name: str
    quantity: Annotated[int, Field(ge=1, le=1_000)]
    unit_price: Money


def total_of(lines: tuple[OrderLine, ...]) -> Money:
    """What lines of one currency cost."""
    amount = sum(line.quantity * line.unit_price.amount for line in lines)
    return Money(amount=amount, currency=lines[0].unit_price.currency)


class FulfilmentStatus(StrEnum):
    UNAVAILABLE = "unavailable"
    PENDING = "pending"
    PROCESSING = "processing"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        """Whether there is something left to do or to undo."""
        return self in (FulfilmentStatus.PENDING, FulfilmentStatus.PROCESSING)


class Fulfilment(BaseModel, frozen=True):
    """Lines, or parts of lines, that one warehouse sends; `warehouse` is None for what none has.

    `number` counts from 1 within the order. `ends_as` is set once it is being undone: what it will be then.
    """

    number: int
    warehouse: str | None
    lines: tuple[OrderLine, ...]
    status: FulfilmentStatus
    ends_as: FulfilmentStatus | None = None
    failure: Failure | None = None

    @property
    def amount(self) -> Money:
        return total_of(self.lines)

    @property
    def goes_forward(self) -> bool:
        return self.status.is_open and self.ends_as is None

    @property
    def is_being_undone(self) -> bool:
        return self.status.is_open and self.ends_as is not None
