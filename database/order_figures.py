"""How many orders come and how they end, counted to a limit: as quick among a million orders as among a thousand."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.orders import OrderStatus

COUNTED = 1_000
WINDOW_MINUTES = 60
# Each walks an index for so many entries, and looks at their times only then: what Postgres expects of a time that it
# does not know would have it read everything.
_ACCEPTED = text(f"""
    WITH latest AS MATERIALIZED (
        SELECT created_at FROM followthrough.orders ORDER BY created_at DESC, id DESC LIMIT {COUNTED}
    )
    SELECT minutes, (
        SELECT count(*) FROM latest WHERE created_at > now() - make_interval(mins => wanted.minutes)
    ) AS orders
    FROM unnest(CAST(:minutes AS integer[])) AS wanted (minutes)
""")  # noqa: S608 - a constant
_ENDED = text(f"""
    WITH latest AS MATERIALIZED (
        SELECT status, failure ->> 'code' AS code, updated_at FROM followthrough.orders
        WHERE phase = 'closed' ORDER BY updated_at DESC, id DESC LIMIT {COUNTED}
    )
    SELECT status, code, count(*) AS orders FROM latest
    WHERE updated_at > now() - make_interval(mins => {WINDOW_MINUTES})
    GROUP BY status, code ORDER BY count(*) DESC, status, code
""")  # noqa: S608 - a constant


@dataclass(frozen=True)
class Ended:
    """So many orders ended lately with this status, for this reason if there was one."""

    status: OrderStatus
    code: str | None
    count: int


@dataclass(frozen=True)
class Figures:
    """The orders accepted in the last so many minutes, and how those of the last hour ended.

    A count of `COUNTED` says that there may be more, not how many.
    """

    accepted: Mapping[int, int]
    ended: tuple[Ended, ...]


class OrderCounts:
    """Counts orders."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def now(self) -> Figures:
        async with self._engine.connect() as connection:
            accepted = (await connection.execute(_ACCEPTED, {"minutes": [1, 10, WINDOW_MINUTES]})).all()
            ended = (await connection.execute(_ENDED)).all()
        return Figures(
            accepted={row.minutes: row.orders for row in accepted},
            ended=tuple(Ended(OrderStatus(row.status), row.code, row.orders) for row in ended),
        )
