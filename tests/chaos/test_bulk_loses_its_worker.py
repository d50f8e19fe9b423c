"""Workers are killed in the middle of a bulk action: each thing is done once all the same."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.acceptance.client import Caller
from tests.bulk import Json, dead_endpoints, started
from tests.chaos.workers import Workers
from tests.shop import open_shop
from tests.stack_session import RunningStack, status

ENDPOINTS = 40
DONE_WITHIN_S = 60.0


def has_done(count: int) -> Callable[[Json], bool]:
    return lambda now: now["counts"]["done"] >= count


@pytest.fixture
async def operator(home: Path) -> AsyncIterator[Caller]:
    stack = RunningStack.of(home, status(home))
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=10) as http:
        yield Caller(http, stack, "olga", "operator")


async def test_a_bulk_action_that_loses_its_worker_twice_does_each_thing_once(
    operator: Caller, workers: Workers, home: Path
) -> None:
    async with open_shop(RunningStack.of(home, status(home))) as shop:
        endpoints = await dead_endpoints(shop, ENDPOINTS)
    bulk = await started(operator, {"subject": endpoints[0].owner}, expected=ENDPOINTS, per_second=10)

    for done in (5, 20):
        dying = await workers.start()
        await bulk.until(has_done(done), DONE_WITHIN_S)
        await dying.kill()
        assert (await bulk.now())["status"] == "running"
    await workers.start()
    finished = await bulk.finished(DONE_WITHIN_S)

    assert finished["counts"]["done"] == finished["total"] == ENDPOINTS
    connection = await asyncpg.connect(status(home)["database_url"])
    try:
        entries = await connection.fetch(
            "SELECT subject FROM followthrough.audit_log WHERE action = 'webhook_endpoint.retry' AND request_id = $1",
            bulk.request_id,
        )
    finally:
        await connection.close()
    assert sorted(entry["subject"] for entry in entries) == sorted(endpoint.id for endpoint in endpoints)
