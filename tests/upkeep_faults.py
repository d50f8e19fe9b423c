"""Trouble in the database that meets upkeep alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text

from tests.shop import POLL_S, Shop


@asynccontextmanager
async def breaking(shop: Shop, table: str) -> AsyncIterator[None]:
    """Have every statement of upkeep on a table fail."""

    async def break_those_that_wait() -> None:
        waiting = text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'followthrough upkeep' AND wait_event_type = 'Lock'"
        )
        while True:
            async with shop.engine.begin() as connection:
                await connection.execute(waiting)
            await asyncio.sleep(POLL_S)

    async with shop.engine.begin() as connection:
        await connection.execute(text(f"LOCK TABLE followthrough.{table}"))
        breaker = asyncio.create_task(break_those_that_wait())
        try:
            yield
        finally:
            breaker.cancel()
            await asyncio.wait({breaker})
