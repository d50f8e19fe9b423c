"""What crosses to a provider and back, and the three ways a call can end short of success."""

from pydantic import BaseModel

from contracts.ids import fulfilment_id
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


class ProviderRequest(BaseModel, frozen=True):
    """What every call says of whom it is for: a fulfilment, by its number within the order."""

    order_id: str
    # Orders had one fulfilment once, and their histories name none.
    fulfilment: int = 1

    @property
    def fulfilment_id(self) -> str:
        return fulfilment_id(self.order_id, self.fulfilment)


class FraudCheck(ProviderRequest, frozen=True):
    """Whether the order may be charged. It is our own books that are asked."""


class ChargeRequest(ProviderRequest, frozen=True):
    """Take `amount` from `payment_method`."""

    amount: Money
    payment_method: str


class RefundRequest(ProviderRequest, frozen=True):
    """Give the whole charge back."""

    charge_id: str
    amount: Money


class Parcel(BaseModel, frozen=True):
    sku: str
    quantity: int


class ShipRequest(ProviderRequest, frozen=True):
    """Hand the parcels to the carrier, which has the fulfilment's id for a reference."""

    ship_to: Address
    parcels: tuple[Parcel, ...]


class CancelShipmentRequest(ProviderRequest, frozen=True):
    """Call a shipment back."""

    shipment_id: str
