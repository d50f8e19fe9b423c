"""Workers are killed under their jobs: these run again soon, and no status lies about what became of them."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest

from tests.acceptance.client import POLL_S, WITHIN_S, Caller
from tests.chaos.shop import Shop
from tests.chaos.workers import Workers
from tests.jobs import Json, accepted, echo, listed, read, until
from tests.stack_session import RunningStack, status

RUNS_AGAIN_WITHIN_S = 15.0
ATTEMPTS = 5


@pytest.fixture
async def owner(home: Path) -> AsyncIterator[Caller]:
    stack = RunningStack.of(home, status(home))
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=10) as http:
        yield Caller(http, stack, f"owner-{uuid4().hex[:6]}", "jobs:write")


async def test_a_job_that_lost_its_worker_runs_again_within_fifteen_seconds(owner: Caller, workers: Workers) -> None:
    dying = await workers.start()
    job = await until(owner, await echo(owner, sleep_s=3), "running")

    await dying.kill()
    killed_at = time.monotonic()
    await workers.start()

    again = await until(owner, job, "running", "retrying", "succeeded")
    while again["attempt"] < 2:
        await asyncio.sleep(POLL_S)
        again = await until(owner, job, "running", "retrying", "succeeded")
    assert time.monotonic() - killed_at < RUNS_AGAIN_WITHIN_S
    done = await until(owner, job, "succeeded")
    assert done["result"] == {"message": "hello", "attempt": 2}


async def test_a_job_whose_worker_died_before_its_end_was_written_runs_again(owner: Caller, workers: Workers) -> None:
    dying = await workers.start_stopping_at_the_end_of_a_job("before")
    job = await echo(owner)
    assert await dying.died_of_sigkill()
    assert (await read(owner, job))["status"] in ("running", "retrying")

    await workers.start()

    assert (await until(owner, job, "succeeded"))["result"]["attempt"] == 2


async def test_a_job_whose_worker_died_after_its_end_was_written_has_ended_and_does_not_run_again(
    owner: Caller, workers: Workers, shop: Shop
) -> None:
    dying = await workers.start_stopping_at_the_end_of_a_job("after")
    job = await echo(owner)
    assert await dying.died_of_sigkill()
    done = await read(owner, job)
    assert (done["status"], done["result"]) == ("succeeded", {"message": "hello", "attempt": 1})

    await workers.start()

    # Temporal hears of it from a second attempt, which says what the first one had done.
    handle = shop.client.get_activity_handle(job["id"])
    assert await handle.result() == done["result"]
    assert (await handle.describe()).attempt == 2
    assert await read(owner, job) == done


async def test_a_job_whose_last_attempt_lost_its_worker_has_timed_out_without_any_worker(
    owner: Caller, workers: Workers
) -> None:
    dying = await workers.start()
    job = await echo(owner, fail_times=4, sleep_s=1.5)
    await in_its_last_attempt(owner, job)

    await dying.kill()

    ended = await until(owner, job, "timed_out")
    assert ended["attempt"] == ATTEMPTS
    assert ended["last_error"]["code"] == "worker_lost"
    # Our books have learned of it as well.
    assert [found["status"] for found in await listed(owner)] == ["timed_out"]


async def test_such_a_job_is_settled_by_the_next_worker_though_nobody_reads_it(
    owner: Caller, workers: Workers, home: Path
) -> None:
    dying = await workers.start()
    job = await echo(owner, fail_times=4, sleep_s=1.5)
    await in_its_last_attempt(owner, job)
    await dying.kill()

    await workers.start()

    assert await settled(home, job["id"]) == "timed_out"


async def test_a_job_accepted_and_cancelled_without_any_worker_never_runs(owner: Caller, workers: Workers) -> None:
    cancelled, kept = await echo(owner), await accepted(owner)
    assert (await owner.post(cancelled["links"]["cancel"])).json()["status"] == "cancelled"
    assert (await read(owner, kept))["status"] == "queued"

    await workers.start()

    await until(owner, kept, "succeeded")
    assert (await read(owner, cancelled))["attempt"] == 0


async def test_a_cancel_that_meets_a_lost_worker_holds(owner: Caller, workers: Workers) -> None:
    dying = await workers.start()
    job = await until(owner, await echo(owner, sleep_s=60), "running")
    await dying.kill()
    assert (await owner.post(job["links"]["cancel"])).json()["cancel_requested"]

    await workers.start()

    assert (await until(owner, job, "cancelled"))["attempt"] in (1, 2)


async def settled(home: Path, job_id: str) -> str:
    """What our books say once the job is over, without asking the API, which would look for itself."""
    connection = await asyncpg.connect(status(home)["database_url"])
    query = "SELECT status FROM followthrough.jobs WHERE id = $1 AND finished_at IS NOT NULL"
    try:
        async with asyncio.timeout(WITHIN_S):
            while (found := await connection.fetchval(query, job_id)) is None:
                await asyncio.sleep(POLL_S)
    finally:
        await connection.close()
    return str(found)


async def in_its_last_attempt(owner: Caller, job: Json) -> None:
    while (await until(owner, job, "queued", "running", "retrying"))["attempt"] < ATTEMPTS:
        await asyncio.sleep(POLL_S)
