"""What a workflow's memo says of an order before anything else can: enough for the accepted resource, and no more.

No name or address: memos stay readable to whoever sees Temporal's lists.
"""

from datetime import datetime
from typing import Self

from pydantic import BaseModel

from contracts.fulfilments import OrderLine
from contracts.money import Money
from contracts.orders import Order, PlaceOrder

# One member rather than one for each field: every member is a payload of its own, on every way it goes.
MEMO_MEMBER = "order"


class OrderMemo(BaseModel, frozen=True):
    """What the memo's one member holds."""

    customer_id: str
    request_hash: str
    request_id: str
    lines: tuple[OrderLine, ...]
    total: Money
    needs_approval: bool
    accepted_at: datetime

    @classmethod
    def of(cls, placed: PlaceOrder) -> Self:
        return cls(
            customer_id=placed.customer_id,
            request_hash=placed.request_hash,
            request_id=placed.request_id,
            lines=placed.lines,
            total=placed.total,
            needs_approval=placed.total.amount > placed.rules.approval_threshold,
            accepted_at=placed.accepted_at,
        )

    def accepted_order(self, order_id: str) -> Order:
        """The order as it was accepted, without its address."""
        return Order.as_accepted(order_id, self.customer_id, self.lines, self.total, None, self.accepted_at)
