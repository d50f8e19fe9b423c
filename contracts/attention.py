"""What somebody has to look at, apart from the course of any order."""

from enum import StrEnum

from pydantic import BaseModel


class AttentionKind(StrEnum):
    """`unexpected_charge`: money was taken that our books do not have, or have otherwise.

    `shipment_overdue`: a parcel did not move for so long that its carrier is not asked any more.
    """

    DISPUTE = "dispute"
    UNEXPECTED_CHARGE = "unexpected_charge"
    SHIPMENT_OVERDUE = "shipment_overdue"


class AttentionItem(BaseModel, frozen=True):
    """Something to look at. `source` is the provider's id of what it is about, which has one item of a kind."""

    kind: AttentionKind
    source: str
    order_id: str | None
    detail: str
