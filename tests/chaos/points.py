"""Where in an order's process a worker can be killed, and what must be true in the world at that very moment."""

from dataclasses import dataclass
from enum import StrEnum


class Work(StrEnum):
    """What an activity does for the order; the value is the activity's name."""

    RESERVE = "reserve"
    CHARGE = "charge"
    SHIP = "ship"
    CANCEL_SHIPMENT = "cancel_shipment"
    REFUND = "refund"
    RELEASE = "finish_undo"

    @property
    def is_call(self) -> bool:
        """Whether it is a call to a provider."""
        return self not in (Work.RESERVE, Work.RELEASE)


class Moment(StrEnum):
    BEFORE_EFFECT = "before_effect"
    """The provider has not been asked yet."""
    AFTER_EFFECT = "after_effect"
    """The provider has answered, and our books don't know."""
    BEFORE_COMMIT = "before_commit"
    """Everything is written to our books, and not committed."""
    AFTER_COMMIT = "after_commit"
    """Our books know, and Temporal doesn't."""


@dataclass(frozen=True)
class Standing:
    """How many orders have this work announced in our books, done at the provider, recorded in our books; and run."""

    announced: int
    effects: int
    recorded: int
    running: int


@dataclass(frozen=True)
class Point:
    """A moment in a piece of work."""

    work: Work
    moment: Moment

    def __str__(self) -> str:
        return f"{self.work.name.lower()}/{self.moment}"

    @property
    def holds_orders(self) -> bool:
        """Whether all orders can stand here at once; before a commit they stand in each other's way."""
        return self.moment is not Moment.BEFORE_COMMIT

    def misses(self, found: Standing, *, held: int, orders: int) -> list[str]:
        """What shows that a worker did not die here with so many of its orders at the point, and none beyond it."""
        is_recorded = self.moment is Moment.AFTER_COMMIT
        is_done = is_recorded or self.moment is Moment.AFTER_EFFECT
        checks = {
            "workflows have ended": found.running == orders,
            "too few are announced": found.announced >= held or not self.work.is_call,
            "the provider has too few": found.effects >= held or not (is_done and self.work.is_call),
            "the provider has some": found.effects == 0 or is_done,
            "our books have too few": found.recorded >= held or not is_recorded,
            "our books have some": found.recorded == 0 or is_recorded,
        }
        return [f"{problem}: {found}" for problem, fine in checks.items() if not fine]


BOOKINGS = (Moment.BEFORE_COMMIT, Moment.AFTER_COMMIT)
CALLS = (Moment.BEFORE_EFFECT, Moment.AFTER_EFFECT, Moment.AFTER_COMMIT)


def points(*works: Work) -> list[Point]:
    """Every named point of these."""
    return [Point(work, moment) for work in works for moment in (CALLS if work.is_call else BOOKINGS)]
