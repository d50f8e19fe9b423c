"""Workers are killed in the middle of a batch: nothing of it is lost, and what had ended is not run again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest

from contracts.job_batches import WINDOW
from tests.acceptance.client import POLL_S, Caller, new_key
from tests.chaos.workers import Workers
from tests.jobs import Json
from tests.stack_session import RunningStack, status

ITEMS = 300
DONE_WITHIN_S = 120.0

_BY_ITEM = "SELECT batch_item, status, attempt, finished_at, held FROM followthrough.jobs WHERE batch_id = $1"


@pytest.fixture
async def owner(home: Path) -> AsyncIterator[Caller]:
    stack = RunningStack.of(home, status(home))
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=10) as http:
        yield Caller(http, stack, f"owner-{uuid4().hex[:6]}", "jobs:write")


@pytest.fixture
async def books(home: Path) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(status(home)["database_url"])
    yield connection
    await connection.close()


async def test_a_batch_that_loses_its_worker_twice_is_done_all_the_same(
    owner: Caller, workers: Workers, books: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    items = [{"message": str(number), "sleep_s": 0.2} for number in range(ITEMS)]
    answer = await owner.post(
        "/v1/jobs/batch", {"Idempotency-Key": new_key()}, json={"type": "diagnostics.echo", "items": items}
    )
    assert answer.status_code == 202, answer.text
    batch = answer.json()

    ended: dict[int, asyncpg.Record] = {}
    lost = 0
    for done in (40, 150):
        dying = await workers.start()
        await until_done(owner, batch, done)
        await dying.kill()
        rows = await books.fetch(_BY_ITEM, batch["id"])
        lost += sum(row["finished_at"] is None and not row["held"] for row in rows)
        ended |= {row["batch_item"]: row for row in rows if row["finished_at"] is not None}
        assert len(rows) == ITEMS
    await workers.start()
    finished = await until_done(owner, batch, ITEMS)

    assert finished["status"] == "finished"
    assert finished["counts"]["succeeded"] == ITEMS
    rows = await books.fetch(_BY_ITEM, batch["id"])
    assert sorted(row["batch_item"] for row in rows) == list(range(ITEMS))
    # What had ended stays as it was, and no more run again than were under way when a worker died.
    now = {row["batch_item"]: row for row in rows}
    assert all(now[item] == row for item, row in ended.items())
    assert sum(row["attempt"] - 1 for row in rows) <= lost <= 2 * WINDOW
    assert {row["attempt"] for row in rows} <= {1, 2, 3}


async def until_done(owner: Caller, batch: Json, count: int) -> Json:
    async with asyncio.timeout(DONE_WITHIN_S):
        while True:
            found: Json = (await owner.get(batch["links"]["self"])).json()
            if found["progress"]["done"] >= count:
                return found
            await asyncio.sleep(POLL_S)
