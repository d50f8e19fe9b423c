"""How many orders there are, come and end: counts that stop at a limit, so that they cost the same however many."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.orders import OrderStatus

COUNTED = 1_000
WINDOW_MINUTES = 60
# Each of these walks an index for COUNTED entries and one at most.
_BY_STATUS = text(f"""
    SELECT status, (
        SELECT count(*) FROM (
            SELECT FROM followthrough.orders WHERE orders.status = wanted.status LIMIT {COUNTED + 1}
        ) AS found
    ) AS orders
    FROM unnest(CAST(:statuses AS text[])) AS wanted (status)
""")  # noqa: S608 - a constant
_ACCEPTED = text(f"""
    SELECT minutes, (
        SELECT count(*) FROM (
            SELECT FROM followthrough.orders
            WHERE created_at > now() - make_interval(mins => wanted.minutes) LIMIT {COUNTED + 1}
        ) AS found
    ) AS orders
    FROM unnest(CAST(:minutes AS integer[])) AS wanted (minutes)
""")  # noqa: S608 - a constant
_ENDED = text(f"""
    SELECT status, code, count(*) AS orders
    FROM (
        SELECT status, failure ->> 'code' AS code FROM followthrough.orders
        WHERE phase = 'closed' AND updated_at > now() - make_interval(mins => {WINDOW_MINUTES})
        ORDER BY updated_at DESC, id DESC LIMIT {COUNTED + 1}
    ) AS lately
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
    """Orders by status, those accepted in the last so many minutes, and how the last hour's ended.

    A count above `COUNTED` says that there are more, not how many.
    """

    by_status: Mapping[OrderStatus, int]
    accepted: Mapping[int, int]
    ended: tuple[Ended, ...]


class OrderCounts:
    """Counts orders."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def now(self) -> Figures:
        asked: dict[str, Any] = {"statuses": [status.value for status in OrderStatus]}
        async with self._engine.connect() as connection:
            by_status = (await connection.execute(_BY_STATUS, asked)).all()
            accepted = (await connection.execute(_ACCEPTED, {"minutes": [1, 10, WINDOW_MINUTES]})).all()
            ended = (await connection.execute(_ENDED)).all()
        return Figures(
            by_status={OrderStatus(row.status): row.orders for row in by_status},
            accepted={row.minutes: row.orders for row in accepted},
            ended=tuple(Ended(OrderStatus(row.status), row.code, row.orders) for row in ended),
        )
