"""The booking of what became of a charge, from whoever brings the news: the call itself or an event of the provider."""

from datetime import datetime
from typing import TYPE_CHECKING

from activities.compensation import announce_next_compensation
from contracts.money import Money
from contracts.orders import EventType
from contracts.steps import Outcome, StepName, StepOutcome

if TYPE_CHECKING:
    from database.open_order import OpenOrder


def book_charge(order: "OpenOrder", number: int, amount: Money, outcome: Outcome, at: datetime) -> None:
    """Settle a fulfilment's charge, and announce what follows from that."""
    order.settle(StepName.CHARGE, number, outcome)
    if outcome.outcome is StepOutcome.SUCCEEDED:
        order.note_of(number, EventType.CHARGED, at, str(amount))
    if order.fulfilment(number).is_being_undone:
        announce_next_compensation(order, number, at)
    elif outcome.outcome is StepOutcome.SUCCEEDED:
        order.announce(StepName.SHIP, number, at)
