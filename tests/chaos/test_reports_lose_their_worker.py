"""Workers are killed under a report: the next one goes on behind the last finished part."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest

from stack.home import Home
from tests.acceptance.client import POLL_S, WITHIN_S, Caller, assert_problem
from tests.chaos.holding_report_worker import PART_ROWS
from tests.chaos.workers import Workers
from tests.many_orders import many_orders
from tests.reports import Json, accepted, download, read, rows_of, until
from tests.shop import open_shop
from tests.stack_session import RunningStack, status

COUNT, PARTS = 2_345, 8
NEWEST = datetime(2001, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def owner(home: Path) -> AsyncIterator[Caller]:
    """Somebody with very many orders."""
    stack = RunningStack.of(home, status(home))
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=10) as http, open_shop(stack) as shop:
        found = Caller(http, stack, f"owner-{uuid4().hex[:6]}", "reports:write", "jobs:write")
        async with many_orders(shop, found.subject, COUNT, NEWEST):
            yield found


def parts_of(home: Path, report: Json) -> dict[str, tuple[int, int]]:
    """The stored parts in their order, each with what changes when its file is written again."""
    found = sorted((Home(home).files / "reports" / report["id"]).glob("part-*"))
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


async def test_a_report_whose_worker_is_killed_goes_on_behind_the_last_finished_part(
    owner: Caller, workers: Workers, home: Path
) -> None:
    report = await accepted(owner, to=(NEWEST + timedelta(seconds=1)).isoformat())
    assert_problem(await download(owner, report), 409, "report_not_ready")
    assert (await read(owner, report))["status"] == "queued"

    first = await workers.start_holding_reports(3)
    await until_done(owner, report, 3 * PART_ROWS)
    stored = parts_of(home, report)
    assert len(stored) == 3
    await first.kill()

    second = await workers.start_holding_reports(PARTS)
    seen = await until_done(owner, report, COUNT)
    assert min(seen) == 3 * PART_ROWS
    now_stored = parts_of(home, report)
    assert len(now_stored) == PARTS
    assert list(now_stored.items())[:3] == list(stored.items())
    await second.kill()

    await workers.start()
    done = await until(owner, report, "succeeded")
    assert done["progress"] == {"done": COUNT, "total": COUNT, "note": "rows stored"}
    assert (await owner.get(done["links"]["job"])).json()["attempt"] == 3
    assert hashlib.sha256((await download(owner, done)).content).hexdigest() == done["sha256"]
    assert [row["id"] for row in await rows_of(owner, done)] == await booked(home, owner)
    assert parts_of(home, report) == {}


async def until_done(owner: Caller, report: Json, rows: int) -> list[int]:
    """Wait until the report says that so many rows are stored; every number that it said."""
    seen: list[int] = []
    async with asyncio.timeout(WITHIN_S):
        while not seen or seen[-1] != rows:
            progress = (await read(owner, report))["progress"]
            if progress is not None:
                assert progress["total"] == COUNT
                seen.append(progress["done"])
            await asyncio.sleep(POLL_S)
    assert seen == sorted(seen)
    return seen


async def booked(home: Path, owner: Caller) -> list[str]:
    """What Postgres has, newest first."""
    connection = await asyncpg.connect(status(home)["database_url"])
    query = "SELECT id FROM followthrough.orders WHERE customer_id = $1 ORDER BY created_at DESC"
    try:
        return [row["id"] for row in await connection.fetch(query, owner.subject)]
    finally:
        await connection.close()
