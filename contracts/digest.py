"""The daily digest: what a day brought, told to operators the next morning."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from contracts.money import Money


class DigestRules(BaseModel, frozen=True):
    """The IANA time zone whose days are told of."""

    zone: str


class DigestDay(BaseModel, frozen=True):
    """A calendar day in a zone, from one moment until before another. On change days it has 23 or 25 hours."""

    day: date
    since: datetime
    until: datetime

    @classmethod
    def before(cls, at: datetime, rules: DigestRules) -> Self:
        """The last day that is over at this time."""
        zone = ZoneInfo(rules.zone)
        today = at.astimezone(zone).date()
        yesterday = today - timedelta(days=1)
        since, until = (datetime.combine(day, time(), zone).astimezone(UTC) for day in (yesterday, today))
        return cls(day=yesterday, since=since, until=until)


class Digest(BaseModel, frozen=True):
    """Orders accepted that day, by what they are now; of those that ended that day, what they brought, by currency, and
    why they failed; what else failed or came up that day, by its kind."""

    orders: Mapping[str, int]
    revenue: tuple[Money, ...]
    failures: Mapping[str, int]
    failed_jobs: Mapping[str, int]
    attention: Mapping[str, int]

    @property
    def orders_in_all(self) -> int:
        return sum(self.orders.values())

    @property
    def failures_in_all(self) -> int:
        return sum(map(sum, (self.failures.values(), self.failed_jobs.values(), self.attention.values())))
