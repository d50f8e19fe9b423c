"""Which call undoes an order next."""

from datetime import datetime
from typing import TYPE_CHECKING

from contracts.steps import Step, StepName, StepOutcome, find_step

if TYPE_CHECKING:
    from database.books import OpenOrder


def announce_next_compensation(order: "OpenOrder", at: datetime) -> None:
    """Announce what has to be undone next, in the reverse of the order it was done in: shipment, then charge.

    A call that is announced and not settled may have had its effect, so it is undone like one that had.
    """
    if _stands(find_step(order.steps, StepName.SHIP), undone_by=find_step(order.steps, StepName.CANCEL_SHIPMENT)):
        order.announce(StepName.CANCEL_SHIPMENT, at)
    elif _stands(find_step(order.steps, StepName.CHARGE), undone_by=find_step(order.steps, StepName.REFUND)):
        order.announce(StepName.REFUND, at)


def _stands(step: Step | None, *, undone_by: Step | None) -> bool:
    if step is None or step.outcome in (StepOutcome.REFUSED, StepOutcome.ABSENT):
        return False
    return undone_by is None or undone_by.outcome is not StepOutcome.SUCCEEDED
