"""Transactions for the bookings of orders."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

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
        connection = (await pooled.get_raw_connection()).driver_connection
        assert isinstance(connection, asyncpg.Connection)
        try:
            async with connection.transaction():
                yield connection
        except BaseException:
            if connection.is_closed():
                # SQLAlchemy has not seen the error, and would hand the dead connection out again.
                await pooled.invalidate()
            raise
