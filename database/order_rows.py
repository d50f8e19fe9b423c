"""Orders as rows of a table, however many: what exports and reports are made of.

They are read in pages, so that nothing is held in Postgres between two of them: docs/decisions/exports-in-pages.md.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Label, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.order_rows import OrderRow
from database.orders import OrderFilter, listed
from database.paging import Position
from database.tables import orders

# Few enough to keep neither Postgres nor our event loop from others for long.
PAGE_ROWS = 200

_UNITS: Label[Any] = literal_column(
    "(SELECT sum(CAST(line ->> 'quantity' AS integer)) FROM jsonb_array_elements(followthrough.orders.lines) AS line)"
).label("units")
_SKUS: Label[Any] = literal_column(
    "(SELECT array_agg(line ->> 'sku' ORDER BY number)"
    " FROM jsonb_array_elements(followthrough.orders.lines) WITH ORDINALITY AS one (line, number))"
).label("skus")
# In the order of OrderRow's fields.
_COLUMNS = (
    orders.c.id,
    orders.c.status,
    orders.c.customer_id,
    orders.c.created_at,
    orders.c.updated_at,
    orders.c.total,
    orders.c.currency,
    _UNITS,
    _SKUS,
    orders.c.ship_to["city"].astext,
    orders.c.ship_to["country"].astext,
    orders.c.failure["code"].astext,
)


class OrderRows:
    """Reads rows of orders, newest first."""

    def __init__(self, engine: AsyncEngine) -> None:
        # Single statements need no transaction around them.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def page(
        self, wanted: OrderFilter, *, customer_id: str | None, after: Position | None, limit: int
    ) -> Sequence[OrderRow]:
        """At most `limit` rows, those behind `after`; of every customer when `customer_id` is None."""
        query = listed(select(*_COLUMNS), wanted, customer_id=customer_id, after=after, limit=limit)
        async with self._engine.connect() as connection:
            return [OrderRow._make(row) for row in await connection.execute(query)]

    async def count(self, wanted: OrderFilter, *, customer_id: str | None, after: Position | None) -> int:
        """How many rows there are behind `after`."""
        fitting = listed(select(orders.c.id), wanted, customer_id=customer_id, after=after, limit=None)
        query = select(func.count()).select_from(fitting.order_by(None).subquery())
        async with self._engine.connect() as connection:
            return (await connection.execute(query)).scalar_one()


def behind(row: OrderRow) -> Position:
    """Where the next row is."""
    return Position(row.created_at, row.id)
