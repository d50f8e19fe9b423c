"""Whether our books allow an operator to end an order by hand in a certain way."""

from collections.abc import Iterable
from typing import Protocol

from contracts.fulfilments import Fulfilment, FulfilmentStatus
from contracts.orders import OrderStatus
from contracts.steps import Step, StepName, StepOutcome, find_step, outcome_of


class Standing(Protocol):
    """What an order is made of."""

    @property
    def fulfilments(self) -> tuple[Fulfilment, ...]: ...

    @property
    def steps(self) -> Iterable[Step]: ...


def contradiction_to_undoing(order: Standing, status: OrderStatus) -> str | None:
    """Why an order that goes forward cannot be undone to this status; None when it can."""
    sent = any(fulfilment.status is FulfilmentStatus.SHIPPED for fulfilment in order.fulfilments)
    if status is OrderStatus.PARTIALLY_COMPLETED:
        return None if sent else "nothing of the order was shipped"
    return "a part of the order was shipped" if sent else None


def contradiction_to_closing(order: Standing, status: OrderStatus) -> str | None:
    """Why our books don't allow that the order is closed as this; None when they do.

    What is kept needs both effects on record. For the rest it is enough that its undoing was announced: what became of
    that, and of what would have come after it, the operator knows better than our books.
    """
    keeps = kept(order, status)
    rest = [fulfilment for fulfilment in _real(order) if fulfilment not in keeps]
    if status is OrderStatus.PARTIALLY_COMPLETED and not keeps:
        return "nothing of the order was shipped"
    if status is OrderStatus.PARTIALLY_COMPLETED and not rest:
        return "all of the order was shipped"
    problems = [_why_not_sent(order, fulfilment) for fulfilment in keeps]
    problems += [_why_not_undone(order, fulfilment) for fulfilment in rest]
    return next((problem for problem in problems if problem), None)


def kept(order: Standing, status: OrderStatus) -> list[Fulfilment]:
    """The fulfilments that the customer keeps when the order is closed as this."""
    if status is OrderStatus.COMPLETED:
        return _real(order)
    if status is not OrderStatus.PARTIALLY_COMPLETED:
        return []
    shipped = [fulfilment for fulfilment in _real(order) if fulfilment.status is FulfilmentStatus.SHIPPED]
    # Of an order of which nothing was sent for good, what could not be undone is what stays.
    return shipped or [fulfilment for fulfilment in _real(order) if _why_not_sent(order, fulfilment) is None]


def _real(order: Standing) -> list[Fulfilment]:
    return [fulfilment for fulfilment in order.fulfilments if fulfilment.warehouse is not None]


def _why_not_sent(order: Standing, fulfilment: Fulfilment) -> str | None:
    if not _stands(order, fulfilment, StepName.CHARGE, undone_by=StepName.REFUND):
        return "the order is not paid"
    if not _stands(order, fulfilment, StepName.SHIP, undone_by=StepName.CANCEL_SHIPMENT):
        return "the order is not shipped"
    return None


def _why_not_undone(order: Standing, fulfilment: Fulfilment) -> str | None:
    called_back = _announced(order, fulfilment, StepName.CANCEL_SHIPMENT)
    if _stands(order, fulfilment, StepName.SHIP) and not called_back:
        return "the order was shipped and not called back"
    refunded = called_back or _announced(order, fulfilment, StepName.REFUND)
    if _stands(order, fulfilment, StepName.CHARGE) and not refunded:
        return "the order was charged and not refunded"
    return None


def _stands(order: Standing, fulfilment: Fulfilment, name: StepName, *, undone_by: StepName | None = None) -> bool:
    succeeded = outcome_of(order.steps, name, fulfilment.number) is StepOutcome.SUCCEEDED
    undone = undone_by and outcome_of(order.steps, undone_by, fulfilment.number) is StepOutcome.SUCCEEDED
    return succeeded and not undone


def _announced(order: Standing, fulfilment: Fulfilment, name: StepName) -> bool:
    return find_step(order.steps, name, fulfilment.number) is not None
