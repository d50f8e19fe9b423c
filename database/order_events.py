"""The timelines of orders as they grow: who listens hears of new entries, and reads them, on one connection."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from database.transaction import Connection

# The trigger of the table tells of orders with new entries here.
CHANNEL = "order_events"
# A Postgres that hangs breaks no connection.
ANSWERS_WITHIN_S = 5.0

# For many orders at once: a read is a round trip, whoever watches.
_BEYOND = """
    SELECT order_id, sequence, at, type, detail
    FROM unnest($1::text[], $2::int[]) AS watched (id, known)
    JOIN followthrough.order_events ON order_id = watched.id AND sequence > watched.known
    ORDER BY order_id, sequence
"""


class OrderEvents:
    """Listens to the growth of every timeline."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def listening(
        self, tell: Callable[[str], None], tell_of_the_end: Callable[[], None]
    ) -> AsyncIterator["ListeningConnection"]:
        """Call `tell` with the id of each order whose new entries were committed from now on, while this is open.

        `tell_of_the_end` is called when the connection that hears of them ends; what is committed then is not told.
        """
        async with self._engine.connect() as pooled:
            connection = (await pooled.get_raw_connection()).driver_connection
            assert isinstance(connection, asyncpg.Connection)

            def heard(_connection: object, _pid: int, _channel: str, order_id: object) -> None:
                tell(str(order_id))

            def ended(_connection: object) -> None:
                tell_of_the_end()

            try:
                connection.add_termination_listener(ended)
                async with asyncio.timeout(ANSWERS_WITHIN_S):
                    await connection.add_listener(CHANNEL, heard)
                yield ListeningConnection(connection)
            finally:
                # It is of no use to the pool any more: it listens. Nor is it worth a farewell that may take long.
                connection.remove_termination_listener(ended)
                connection.terminate()
                await pooled.invalidate()


class ListeningConnection:
    """Reads timelines on the connection that hears of them. Nothing committed is missed by both."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def is_closed(self) -> bool:
        return self._connection.is_closed()

    async def beyond(self, known: Mapping[str, int]) -> dict[str, list[dict[str, Any]]]:
        """What the timelines of these orders have beyond the sequence that is known of each, in its order.

        The entries are in the shape of `TimelineEntry`; an order without any is left out. Raises TimeoutError,
        asyncpg.PostgresError, asyncpg.InterfaceError or OSError.
        """
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            rows = await self._connection.fetch(_BEYOND, list(known), list(known.values()))
        found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            found[row["order_id"]].append(dict(row))
        return found
