"""What a day brought, from our books."""

from collections import Counter
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.digest import Digest, DigestDay
from contracts.money import Money

_ACCEPTED = text("""
    SELECT status AS kind, count(*) AS number FROM followthrough.orders
    WHERE created_at >= :since AND created_at < :until GROUP BY status
""")
# Closed orders never change.
_CLOSED = text("""
    SELECT failure ->> 'code' AS failure, currency, count(*) AS orders, sum(CASE status
        WHEN 'completed' THEN total
        WHEN 'partially_completed' THEN (
            SELECT coalesce(sum(CAST(line ->> 'quantity' AS int) * CAST(line #>> '{unit_price,amount}' AS bigint)), 0)
            FROM jsonb_array_elements(fulfilments) AS fulfilment, jsonb_array_elements(fulfilment -> 'lines') AS line
            WHERE fulfilment ->> 'status' IN ('shipped', 'delivered')
        )
        ELSE 0 END) AS revenue
    FROM followthrough.orders WHERE phase = 'closed' AND updated_at >= :since AND updated_at < :until
    GROUP BY failure ->> 'code', currency
""")
_FAILED_JOBS = text("""
    SELECT type AS kind, count(*) AS number FROM followthrough.jobs
    WHERE status IN ('failed', 'timed_out') AND finished_at >= :since AND finished_at < :until GROUP BY type
""")
_ATTENTION = text("""
    SELECT kind, count(*) AS number FROM followthrough.attention_items
    WHERE opened_at >= :since AND opened_at < :until GROUP BY kind
""")


class DigestRepository:
    """Counts what was accepted on a day and what ended on it, whenever that was accepted: each is told of once."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def of(self, day: DigestDay) -> Digest:
        period = {"since": day.since, "until": day.until}
        async with self._engine.connect() as connection:
            accepted = _counts((await connection.execute(_ACCEPTED, period)).all())
            closed = (await connection.execute(_CLOSED, period)).all()
            failed_jobs = _counts((await connection.execute(_FAILED_JOBS, period)).all())
            attention = _counts((await connection.execute(_ATTENTION, period)).all())
        revenue: Counter[str] = Counter()
        failures: Counter[str] = Counter()
        for row in closed:
            revenue[row.currency] += int(row.revenue)
            if row.failure is not None:
                failures[row.failure] += row.orders
        return Digest(
            orders=accepted,
            revenue=tuple(Money(amount=amount, currency=currency) for currency, amount in sorted(revenue.items())),
            failures=dict(sorted(failures.items())),
            failed_jobs=failed_jobs,
            attention=attention,
        )


def _counts(rows: Any) -> dict[str, int]:
    found: list[Row[Any]] = sorted(rows, key=lambda row: row.kind)
    return {row.kind: row.number for row in found}
