"""What webhooks tell of jobs, and to whom."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, select

from contracts.jobs import JobOutcome, JobStatus
from database.tables import outbox, webhook_deliveries
from tests.acceptance.client import Caller, Door
from tests.endpoints import ShopEndpoint
from tests.integration.jobs.benches import Bench
from tests.jobs import accepted, echo, read, until
from tests.shop import Shop
from tests.webhooks import Hook, hook


@pytest.fixture
async def receiver() -> AsyncIterator[Hook]:
    async with hook() as opened:
        yield opened


async def told(receiver: Hook, endpoint: ShopEndpoint, count: int) -> list[tuple[str, str, str]]:
    payloads = [message.verified(endpoint.secret) for message in await receiver.until_got(count)]
    return sorted((one["type"], one["data"]["id"], one["data"]["status"]) for one in payloads)


async def test_how_a_job_ends_is_told_to_its_owner_and_the_system_and_nobody_else(
    shop: Shop, owner: Caller, door: Door, receiver: Hook
) -> None:
    async with hook() as others, hook() as systems:
        own = await ShopEndpoint.at(receiver, shop, "job.*", owner=owner.subject)
        anothers = await ShopEndpoint.at(others, shop, "*")
        of_system = await ShopEndpoint.at(systems, shop, "job.failed", of_system=True)

        done = await until(owner, await echo(owner), "succeeded")
        failed = await until(owner, await echo(owner, fail_times=9), "failed")
        cancelled = await accepted(owner, delay_s=3_600)
        await owner.post(cancelled["links"]["cancel"])
        stopped = await until(owner, await echo(owner, sleep_s=300), "running")
        await owner.post(stopped["links"]["cancel"])

        assert await told(receiver, own, 4) == sorted(
            [
                ("job.succeeded", done["id"], "succeeded"),
                ("job.failed", failed["id"], "failed"),
                ("job.cancelled", cancelled["id"], "cancelled"),
                ("job.cancelled", stopped["id"], "cancelled"),
            ]
        )
        assert ("job.failed", failed["id"], "failed") in await told(systems, of_system, 1)
        await (await anothers.send()).settled()
        assert [message.verified(anothers.secret)["type"] for message in others.messages] == ["webhook.test"]
        await of_system.delete()


async def test_the_time_of_the_event_is_that_of_the_end(shop: Shop, owner: Caller, receiver: Hook) -> None:
    endpoint = await ShopEndpoint.at(receiver, shop, "job.succeeded", owner=owner.subject)
    job = await echo(owner)

    [message] = await receiver.until_got(1)

    timestamp = message.verified(endpoint.secret)["timestamp"]
    assert timestamp == (await read(owner, job))["finished_at"]


async def test_a_job_that_timed_out_is_told_once_whoever_settles_it(shop: Shop, bench: Bench, receiver: Hook) -> None:
    endpoint = await ShopEndpoint.at(receiver, shop, "job.timed_out", owner="bench")
    job_id = await bench.row()

    for _ in range(3):
        await bench.runs.settle_as_told(job_id, JobOutcome(status=JobStatus.TIMED_OUT), restarts=0)

    assert await told(receiver, endpoint, 1) == [("job.timed_out", job_id, "timed_out")]
    async with shop.engine.connect() as connection:
        made = select(func.count()).where(webhook_deliveries.c.endpoint_id == endpoint.id)
        assert await connection.scalar(made) == 1
    await endpoint.delete()


async def test_nothing_is_left_in_the_outbox_where_nobody_listens(shop: Shop, bench: Bench, receiver: Hook) -> None:
    await ShopEndpoint.at(receiver, shop, "job.failed", "order.*", owner="bench")
    job_id = await bench.row()

    async with shop.engine.connect() as connection:
        await bench.runs.settle_as_told(job_id, JobOutcome(status=JobStatus.SUCCEEDED), restarts=0)
        rows = select(outbox.c.id).where(outbox.c.aggregate == f"events/{job_id}")
        assert (await connection.scalars(rows)).all() == []
