"""What crosses to a provider and back, and the three ways a call can end short of success."""

from pydantic import BaseModel

from contracts.money import Money
from contracts.orders import Address


class ProviderRefused(Exception):
    """The provider said no for good; repeating changes nothing."""


class ProviderFailed(Exception):
    """The provider said that nothing happened (unavailable, rate limited); repeat later.

    `retry_after_s` is what it asked for, in seconds.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ProviderSilent(Exception):
    """The call may or may not have had its effect; repeat it under the same key to find out."""


class ProviderNeedsSearch(Exception):
    """Repeating the call can tell no more of its outcome; only looking for its effect can."""


class ChargeRequest(BaseModel, frozen=True):
    """Take `amount` from `payment_method`."""

    order_id: str
    amount: Money
    payment_method: str


class RefundRequest(BaseModel, frozen=True):
    """Give the whole charge back."""

    order_id: str
    charge_id: str
    amount: Money


class Parcel(BaseModel, frozen=True):
    sku: str
    quantity: int


class ShipRequest(BaseModel, frozen=True):
    """Hand the parcels to the carrier, which has the fulfilment's id for a reference."""

    order_id: str
    fulfilment_id: str
    ship_to: Address
    parcels: tuple[Parcel, ...]


class CancelShipmentRequest(BaseModel, frozen=True):
    """Call a shipment back."""

    order_id: str
    shipment_id: str
