"""What an order does next: approval, the fraud check, the charges; and its end, once nothing of it is open."""

from datetime import datetime
from typing import TYPE_CHECKING

from contracts.failures import Failure
from contracts.fulfilments import FulfilmentStatus
from contracts.orders import EventType, OrderRules, OrderStatus
from contracts.steps import WHOLE_ORDER, StepName

if TYPE_CHECKING:
    from database.open_order import OpenOrder


def go_on(order: "OpenOrder", rules: OrderRules, *, at: datetime) -> None:
    """Have an order that is reserved, and lacks nothing, go on: over the threshold an operator is asked first."""
    if order.total.amount > rules.approval_threshold:
        order.status = OrderStatus.AWAITING_APPROVAL
        order.note(EventType.APPROVAL_REQUESTED, at, f"the total is {order.total}")
    else:
        begin_to_pay(order, at=at)


def begin_to_pay(order: "OpenOrder", *, at: datetime) -> None:
    """Announce the charges, or the check that comes before them."""
    order.status = OrderStatus.PROCESSING
    if order.checks_fraud:
        order.announce(StepName.CHECK_FRAUD, WHOLE_ORDER, at)
    else:
        announce_charges(order, at)


def announce_charges(order: "OpenOrder", at: datetime) -> None:
    for fulfilment in order.fulfilments:
        if fulfilment.goes_forward:
            order.change(fulfilment.number, status=FulfilmentStatus.PROCESSING)
            order.announce(StepName.CHARGE, fulfilment.number, at)


def close_when_done(order: "OpenOrder", at: datetime) -> None:
    """Give the order its final status once nothing of it is left to do or to undo."""
    if any(fulfilment.status.is_open for fulfilment in order.fulfilments):
        return
    failure = first_failure(order)
    if order.final_status is not None:
        order.failure = order.failure or failure
        order.close(order.final_status, at, order.failure.message if order.failure else "undone")
    elif failure is None:
        order.close(OrderStatus.COMPLETED, at, "every line was paid and handed to the carrier")
    else:
        order.failure = failure
        order.close(OrderStatus.PARTIALLY_COMPLETED, at, f"not everything was sent: {failure.message}")


def is_lost(order: "OpenOrder") -> bool:
    """Whether nothing of the order is sent any more, or will be."""
    return not any(
        fulfilment.goes_forward or fulfilment.status is FulfilmentStatus.SHIPPED for fulfilment in order.fulfilments
    )


def first_failure(order: "OpenOrder") -> Failure | None:
    return next((fulfilment.failure for fulfilment in order.fulfilments if fulfilment.failure), None)
