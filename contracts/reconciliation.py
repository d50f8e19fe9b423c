"""Our books beside the payment provider's, charge by charge. Only orders that are over can differ."""

from pydantic import BaseModel

from contracts.attention import AttentionItem, AttentionKind
from contracts.fulfilments import Fulfilment
from contracts.money import Money
from contracts.orders import OrderStatus, Phase
from contracts.steps import Step, StepName, StepOutcome, find_step


class Payment(BaseModel, frozen=True):
    """A charge that succeeded, as the provider has it. `refunded` is how much of it was given back."""

    charge_id: str
    order_id: str
    amount: Money
    refunded: int


class BookedPayments(BaseModel, frozen=True):
    """What our books say of the payments of one order."""

    order_id: str
    status: OrderStatus
    phase: Phase
    fulfilments: tuple[Fulfilment, ...]
    steps: tuple[Step, ...]

    @property
    def is_over(self) -> bool:
        return self.phase is Phase.CLOSED

    @property
    def charges(self) -> dict[str, int]:
        """The fulfilment that each charge paid, by the charge's id."""
        return {
            step.reference: step.fulfilment
            for step in self.steps
            if step.name is StepName.CHARGE and step.outcome is StepOutcome.SUCCEEDED and step.reference
        }

    def amount_of(self, number: int) -> Money | None:
        return next((one.amount for one in self.fulfilments if one.number == number), None)

    def was_refunded(self, number: int) -> bool:
        refund = find_step(self.steps, StepName.REFUND, number)
        return refund is not None and refund.outcome is StepOutcome.SUCCEEDED


def difference(payment: Payment, booked: BookedPayments | None) -> AttentionItem | None:
    """What our books have otherwise; None when they agree, or the order is still under way."""
    if booked is None:
        return _unexpected(payment, "our books have no such order")
    if not booked.is_over:
        return None
    fulfilment = booked.charges.get(payment.charge_id)
    if fulfilment is None:
        # Given back in full, it is as if it had never been.
        if payment.refunded == payment.amount.amount:
            return None
        return _unexpected(payment, f"our books have no such charge, and the order as {booked.status}")
    amount = booked.amount_of(fulfilment)
    if amount is not None and payment.amount != amount:
        return _unexpected(payment, f"{amount} was to be charged")
    refunded = payment.amount.amount if booked.was_refunded(fulfilment) else 0
    if payment.refunded != refunded:
        found, wanted = (Money(amount=one, currency=payment.amount.currency) for one in (payment.refunded, refunded))
        return AttentionItem(
            kind=AttentionKind.REFUND_DIFFERS,
            source=payment.charge_id,
            order_id=payment.order_id,
            detail=f"of {payment.charge_id} {found} was given back, says the provider; {wanted}, say our books",
        )
    return None


def missing(charge_id: str, order_id: str) -> AttentionItem:
    """A charge of our books that the provider does not have."""
    return AttentionItem(
        kind=AttentionKind.MISSING_CHARGE,
        source=charge_id,
        order_id=order_id,
        detail=f"our books have {charge_id}, and the provider has no such charge that succeeded",
    )


def _unexpected(payment: Payment, contradiction: str) -> AttentionItem:
    """The same item as that of the provider's event."""
    return AttentionItem(
        kind=AttentionKind.UNEXPECTED_CHARGE,
        source=payment.charge_id,
        order_id=payment.order_id,
        detail=f"{payment.charge_id} took {payment.amount}, but {contradiction}",
    )
