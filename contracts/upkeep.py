"""What the activities of schedules are given, and what they tell."""

from datetime import datetime

from pydantic import BaseModel


class Period(BaseModel, frozen=True):
    """From one moment until before another."""

    since: datetime
    until: datetime


class Cleaned(BaseModel, frozen=True):
    """How many there were of something whose time is over."""

    what: str
    count: int

    def __str__(self) -> str:
        return f"{self.count} {self.what}"


class Watched(BaseModel, frozen=True):
    """What is wrong now, `opened` of it since the last look, and how much has passed since then."""

    what: str
    found: int
    opened: int
    closed: int

    def __str__(self) -> str:
        return f"{self.found} {self.what} ({self.opened} new, {self.closed} passed)"


class Reconciled(BaseModel, frozen=True):
    """How many payments were compared, and how many differences are news."""

    payments: int
    differences: int

    def __str__(self) -> str:
        return f"{self.payments} payments compared, {self.differences} new differences"
