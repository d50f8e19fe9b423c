"""Transactions for the bookings of orders."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[Connection]:
    """A transaction on a connection of the engine's pool, spoken to through asyncpg itself.

    docs/decisions/bookings-through-asyncpg.md
    """
    async with engine.connect() as pooled:
        connection = await _driver_connection(pooled)
        if _is_spent(connection):
            # A transaction here would be a savepoint in somebody's unfinished one, and never be committed.
            connection.terminate()
            await pooled.invalidate()
            connection = await _driver_connection(pooled)
        try:
            async with connection.transaction():
                yield connection
        except BaseException:
            # SQLAlchemy has not seen what happened, and would hand the connection out again as it is: dead, or with a
            # transaction that a cancellation kept from being rolled back.
            if _is_spent(connection):
                connection.terminate()
                await pooled.invalidate()
            raise


async def _driver_connection(pooled: AsyncConnection) -> Connection:
    connection = (await pooled.get_raw_connection()).driver_connection
    assert isinstance(connection, asyncpg.Connection)
    return connection


def _is_spent(connection: Connection) -> bool:
    return connection.is_closed() or connection.is_in_transaction()
