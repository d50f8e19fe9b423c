"""What somebody has to look at, apart from the course of any order."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel


class AttentionKind(StrEnum):
    """`unexpected_charge`: money was taken that our books do not have, or have otherwise.

    `missing_charge`, `refund_differs`: our books have what the payment provider does not, or it has more than they.
    `shipment_overdue`: a parcel did not move for so long that its carrier is not asked any more.
    `orphaned_reservation`: an order is over and still holds stock.
    `stuck_order`: an order stands still for longer than its own time-outs allow.
    `webhook_failing`, `webhook_disabled`: an endpoint gets no webhooks any more, or soon will not.
    """

    DISPUTE = "dispute"
    UNEXPECTED_CHARGE = "unexpected_charge"
    MISSING_CHARGE = "missing_charge"
    REFUND_DIFFERS = "refund_differs"
    SHIPMENT_OVERDUE = "shipment_overdue"
    ORPHANED_RESERVATION = "orphaned_reservation"
    STUCK_ORDER = "stuck_order"
    WEBHOOK_FAILING = "webhook_failing"
    WEBHOOK_DISABLED = "webhook_disabled"

    @property
    def may_change(self) -> bool:
        """Whether what it is about can become another matter after it was found, and not just be told in other words.

        An unexpected charge cannot: its amount is fixed, and so is the order that is over.
        """
        return self is not AttentionKind.UNEXPECTED_CHARGE


class AttentionItem(BaseModel, frozen=True):
    """Something to look at. `source` is the id of what it is about, which has one item of a kind."""

    kind: AttentionKind
    source: str
    order_id: str | None
    detail: str


class KeptItem(AttentionItem, frozen=True):
    """An item as it is kept. `closed_at` is when it had passed, or an operator closed it."""

    id: str
    opened_at: datetime
    closed_at: datetime | None
