"""Postgres was away for a moment: who asks afterwards does not meet the connections of before."""

import asyncio

import psutil
from sqlalchemy import text

from tests.acceptance.client import Caller, Door
from tests.acceptance.conftest import door, http
from tests.shop import POLL_S, WITHIN_S, Shop

__all__ = ["door", "http"]

AT_ONCE = 8
OF_THE_API = "FROM pg_stat_activity WHERE application_name = 'followthrough api'"


async def test_no_request_gets_a_connection_that_postgres_has_closed(door: Door, shop: Shop) -> None:
    reader = door.customer("orders:read")
    await lists(reader)

    async with shop.engine.connect() as connection:
        ended = (await connection.scalars(text(f"SELECT pid, pg_terminate_backend(pid) {OF_THE_API}"))).all()
    # Their sockets are closed once the processes are gone.
    async with asyncio.timeout(WITHIN_S):
        while any(map(psutil.pid_exists, ended)):
            await asyncio.sleep(POLL_S)

    assert ended
    assert await lists(reader) == [200] * AT_ONCE


async def lists(reader: Caller) -> list[int]:
    """The statuses of lists that are asked for at once."""
    return [answer.status_code for answer in await asyncio.gather(*(reader.get("/v1/orders") for _ in range(AT_ONCE)))]
