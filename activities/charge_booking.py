"""The booking of what became of a charge, from whoever brings the news: the call itself or an event of the provider."""

from datetime import datetime
from typing import TYPE_CHECKING

from activities.compensation import announce_next_compensation
from contracts.money import Money
from contracts.orders import EventType, Phase
from contracts.steps import Outcome, StepName, StepOutcome

if TYPE_CHECKING:
    from database.books import OpenOrder


def book_charge(order: "OpenOrder", amount: Money, outcome: Outcome, at: datetime) -> None:
    """Settle the order's charge, and announce what follows from that."""
    order.settle(StepName.CHARGE, outcome)
    if outcome.outcome is StepOutcome.SUCCEEDED:
        order.note(EventType.CHARGED, at, str(amount))
    if order.phase is Phase.UNDOING:
        announce_next_compensation(order, at)
    elif outcome.outcome is StepOutcome.SUCCEEDED:
        order.announce(StepName.SHIP, at)
