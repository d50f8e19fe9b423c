"""What the payment provider's events mean to us, read from Stripe's format: https://docs.stripe.com/api/events."""

from typing import Generic, TypeVar

from pydantic import BaseModel

from contracts.ids import OrderId
from contracts.inbound import ProviderWord
from contracts.money import Money
from providers.payments import fulfilment_of

Object = TypeVar("Object", bound=BaseModel)


class ChargeSucceeded(BaseModel, frozen=True):
    """A fulfilment's money was taken. `charge_id` is the payment intent's, which our charges have for reference."""

    order_id: OrderId
    fulfilment: int
    charge_id: str
    amount: Money


class ChargeDisputed(BaseModel, frozen=True):
    """A cardholder wants money back through the bank. `charge_id` is the payment intent's, where there is one."""

    dispute_id: str
    charge_id: str | None
    detail: str


class _Intent(BaseModel):
    id: ProviderWord
    amount_received: int
    currency: str
    metadata: dict[str, str] = {}


class _Dispute(BaseModel):
    id: ProviderWord
    payment_intent: ProviderWord | None = None
    charge: ProviderWord | None = None
    amount: int
    currency: str
    reason: ProviderWord | None = None


class _Data(BaseModel, Generic[Object]):
    object: Object


class _Event(BaseModel, Generic[Object]):
    data: _Data[Object]


def read_event(kind: str, body: str) -> ChargeSucceeded | ChargeDisputed | None:
    """What an event of this type says; None when it changes nothing here.

    Raises ValueError for an event that is not as Stripe documents it.
    """
    match kind:
        case "payment_intent.succeeded":
            return _charge(_Event[_Intent].model_validate_json(body).data.object)
        # The second is what Stripe calls the first in some of its writing.
        case "charge.dispute.created" | "charge.disputed":
            return _dispute(_Event[_Dispute].model_validate_json(body).data.object)
        # Among them payment_intent.payment_failed: only the call itself decides that a charge was refused. It is
        # retried until it has a definite answer, and events come in any order: a failure that is heard of late would
        # undo an order which the next attempt has paid.
        case _:
            return None


def _charge(intent: _Intent) -> ChargeSucceeded | None:
    if intent.metadata.get("step") != "charge" or "order_id" not in intent.metadata:
        return None
    return ChargeSucceeded(
        order_id=intent.metadata["order_id"],
        fulfilment=fulfilment_of(intent.metadata),
        charge_id=intent.id,
        amount=Money(amount=intent.amount_received, currency=intent.currency),
    )


def _dispute(dispute: _Dispute) -> ChargeDisputed:
    amount = Money(amount=dispute.amount, currency=dispute.currency)
    charge = dispute.payment_intent or dispute.charge or "an unknown charge"
    return ChargeDisputed(
        dispute_id=dispute.id,
        charge_id=dispute.payment_intent,
        detail=f"{amount} of {charge} disputed: {dispute.reason or 'no reason given'}",
    )
