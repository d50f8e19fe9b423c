"""How an order stands before operators: why it waits for them, what is left to do or to undo, what they may do."""

from api.console_deeds import OrderDeed
from contracts.fulfilments import Fulfilment
from contracts.orders import EventType, Order, OrderStatus, Phase
from contracts.steps import StepName, StepOutcome, find_step


def why_parked(order: Order) -> str | None:
    """What the order's workflow said when it stopped; None for one that goes on."""
    if order.status is not OrderStatus.NEEDS_ATTENTION:
        return None
    stops = [entry.detail for entry in order.timeline if entry.type is EventType.NEEDS_ATTENTION]
    return stops[-1] if stops else None


def what_is_left(order: Order) -> list[str]:
    """What our books say is still to be done, or to be undone, last things first."""
    if order.phase is Phase.CLOSED:
        return []
    return [left for fulfilment in order.fulfilments for left in _left_of(order, fulfilment)]


def deeds_for(order: Order) -> tuple[OrderDeed, ...]:
    """What an operator may do to it now, as far as our books can tell."""
    if order.status is OrderStatus.NEEDS_ATTENTION:
        mend = (OrderDeed.RETRY, OrderDeed.RESOLVE)
        return (*mend, OrderDeed.CANCEL) if order.phase is Phase.FORWARD else mend
    if order.status is OrderStatus.AWAITING_APPROVAL:
        return (OrderDeed.APPROVE, OrderDeed.REJECT, OrderDeed.CANCEL)
    return () if order.status.is_final or order.shipping_has_begun else (OrderDeed.CANCEL,)


def _left_of(order: Order, fulfilment: Fulfilment) -> list[str]:
    where = f" (parcel {fulfilment.number})" if len(order.fulfilments) > 1 else ""
    left = _left_to_undo(order, fulfilment) if fulfilment.is_being_undone else []
    if fulfilment.goes_forward:
        done = [name for name in (StepName.CHARGE, StepName.SHIP) if _succeeded(order, fulfilment, name)]
        forward = {StepName.CHARGE: f"charge {_money(fulfilment)}", StepName.SHIP: "ship the parcel"}
        left = [words for name, words in forward.items() if name not in done]
    return [f"{words[:1].upper()}{words[1:]}{where}." for words in left]


def _left_to_undo(order: Order, fulfilment: Fulfilment) -> list[str]:
    left = []
    for effect, undone_by, unknown, known in (
        (
            StepName.SHIP,
            StepName.CANCEL_SHIPMENT,
            "find out whether the carrier has the parcel, and if so call it back",
            "call the shipment back",
        ),
        (
            StepName.CHARGE,
            StepName.REFUND,
            f"find out whether the card was charged, and if so refund {_money(fulfilment)}",
            f"refund {_money(fulfilment)}",
        ),
    ):
        step = find_step(order.steps, effect, fulfilment.number)
        if step is not None and step.may_stand and not _succeeded(order, fulfilment, undone_by):
            left.append(known if step.outcome is StepOutcome.SUCCEEDED else unknown)
    return [*left, "put the items back into stock"]


def _succeeded(order: Order, fulfilment: Fulfilment, name: StepName) -> bool:
    step = find_step(order.steps, name, fulfilment.number)
    return step is not None and step.outcome is StepOutcome.SUCCEEDED


def _money(fulfilment: Fulfilment) -> str:
    return str(fulfilment.amount).upper()
