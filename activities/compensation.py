"""Which call undoes a fulfilment next."""

from datetime import datetime
from typing import TYPE_CHECKING

from contracts.steps import StepName, StepOutcome, find_step, outcome_of

if TYPE_CHECKING:
    from database.open_order import OpenOrder


def announce_next_compensation(order: "OpenOrder", number: int, at: datetime) -> None:
    """Announce what has to be undone next, in the reverse of the order it was done in: shipment, then charge.

    A call that is announced and not settled may have had its effect, so it is undone like one that had.
    """
    if _stands(order, StepName.SHIP, number, undone_by=StepName.CANCEL_SHIPMENT):
        order.announce(StepName.CANCEL_SHIPMENT, number, at)
    elif _stands(order, StepName.CHARGE, number, undone_by=StepName.REFUND):
        order.announce(StepName.REFUND, number, at)


def _stands(order: "OpenOrder", name: StepName, number: int, *, undone_by: StepName) -> bool:
    step = find_step(order.steps, name, number)
    undone = outcome_of(order.steps, undone_by, number) is StepOutcome.SUCCEEDED
    return step is not None and step.may_stand and not undone
