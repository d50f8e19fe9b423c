"""Jobs over HTTP while something behind it is odd: ended by hand, started twice, unreachable, or crowded."""

import asyncio
import json
from datetime import timedelta

import pytest
from sqlalchemy import text
from temporalio.client import ActivityExecutionStatus, ActivityOptionsKeys, PendingActivityState

from contracts.ids import new_job_id
from database.tables import outbox
from tests.acceptance.client import WITHIN_S, Caller, Door, new_key
from tests.integration.api.breaking import frozen
from tests.jobs import Json, accepted, ask_for, echo, listed, read, until
from tests.shop import Shop
from tests.stack_session import RunningStack
from tests.watching import watching_path

CROWD = 200
AT_ONCE = 20


async def test_a_job_that_somebody_terminates_in_the_web_ui_is_cancelled(owner: Caller, shop: Shop) -> None:
    job = await until(owner, await echo(owner, sleep_s=300), "running")

    await shop.client.get_activity_handle(job["id"]).terminate()

    assert (await until(owner, job, "cancelled"))["attempt"] == 1
    assert [found["status"] for found in await listed(owner)] == ["cancelled"]


async def test_a_unique_key_is_free_as_soon_as_its_job_is_over_though_our_books_have_not_heard(
    owner: Caller, shop: Shop
) -> None:
    dead = await accepted(owner, unique_key="only-one", delay_s=7_200)
    async with asyncio.timeout(10):
        while (await outbox_rows(shop, dead["id"])) > 0:
            await asyncio.sleep(0.02)
    await shop.client.get_activity_handle(dead["id"]).terminate()
    key = new_key()

    job = await accepted(owner, key=key, unique_key="only-one", delay_s=3_600)

    assert job["id"] != dead["id"]
    assert (await read(owner, dead))["status"] == "cancelled"
    replayed = await ask_for(owner, key=key, unique_key="only-one", delay_s=3_600)
    assert (replayed.status_code, replayed.json()["id"]) == (200, job["id"])
    second = await ask_for(owner, unique_key="only-one", delay_s=3_600)
    assert (second.status_code, second.json()["id"]) == (200, job["id"])
    await owner.post(job["links"]["cancel"])


async def test_a_job_that_somebody_pauses_before_it_begins_does_not_run(owner: Caller, shop: Shop) -> None:
    job = await accepted(owner, delay_s=7_200)
    async with asyncio.timeout(10):
        while (await outbox_rows(shop, job["id"])) > 0:
            await asyncio.sleep(0.02)

    await shop.client.get_activity_handle(job["id"]).pause()

    described = await shop.client.get_activity_handle(job["id"]).describe()
    assert described.run_state is PendingActivityState.PAUSED
    shown = await read(owner, job)
    assert (shown["status"], shown["attempt"]) == ("scheduled", 0)
    await owner.post(job["links"]["cancel"])


async def test_a_delay_of_hours_is_the_activitys_and_rescheduling_changes_it(owner: Caller, shop: Shop) -> None:
    job = await accepted(owner, delay_s=7_200)
    handle = shop.client.get_activity_handle(job["id"])
    async with asyncio.timeout(10):
        while (await outbox_rows(shop, job["id"])) > 0:
            await asyncio.sleep(0.02)
    first = (await handle.describe()).start_delay

    await owner.post(job["links"]["reschedule"], json={"delay_s": 10_800})
    async with asyncio.timeout(10):
        while (later := (await handle.describe()).start_delay) == first:
            await asyncio.sleep(0.02)

    assert first is not None
    assert later is not None
    assert 7_190 < first.total_seconds() <= 7_200
    assert 10_790 < later.total_seconds() <= 10_810


async def test_a_job_that_temporal_will_never_take_has_failed(owner: Caller, shop: Shop) -> None:
    """Nobody can ask for one any more; one that was accepted before, with arguments larger than Temporal takes."""
    job = await accepted(owner, delay_s=7_200)
    await owner.post(job["links"]["cancel"])
    larger = json.dumps({"message": "x" * 3 * 1024**2})
    async with shop.engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO jobs (id, type, subject, arguments, queue, priority, status, run_at)"
                " SELECT :id, type, subject, :larger, queue, priority, 'scheduled', now() FROM jobs WHERE id = :like"
            ),
            {"id": (job_id := new_job_id()), "larger": larger, "like": job["id"]},
        )
        await connection.execute(
            text(
                "INSERT INTO outbox (aggregate, kind, payload) VALUES"
                " ('job/' || :id, 'job_accepted', jsonb_build_object('job_id', CAST(:id AS text)))"
            ),
            {"id": job_id},
        )

    refused = await until(owner, {"id": job_id}, "failed")

    assert refused["last_error"]["code"] == "cannot_begin"
    async with asyncio.timeout(10):
        while await outbox_rows(shop, job_id):
            await asyncio.sleep(0.02)


async def test_a_job_that_begins_before_temporal_heard_of_its_new_time_begins_then(owner: Caller, shop: Shop) -> None:
    job = await accepted(owner, delay_s=7_200)
    handle = shop.client.get_activity_handle(job["id"])
    await relayed(shop, job)
    async with shop.engine.begin() as connection:
        # The relay waits for this one, and lags.
        await connection.execute(outbox.insert().values(aggregate=f"job/{job['id']}", kind="of_later", payload={}))
    rescheduled = await owner.post(job["links"]["reschedule"], json={"delay_s": 10_800})

    await handle.update_options([ActivityOptionsKeys.start_delay.value_set(timedelta(0))])
    async with asyncio.timeout(WITHIN_S):
        while (await handle.describe()).status is ActivityExecutionStatus.RUNNING:
            await asyncio.sleep(0.02)

    waiting = await read(owner, job)
    assert (waiting["status"], waiting["attempt"], waiting["last_error"]) == ("scheduled", 0, None)
    assert waiting["run_at"] == rescheduled.json()["run_at"]
    async with shop.engine.begin() as connection:
        await connection.execute(outbox.delete().where(outbox.c.kind == "of_later"))
    await relayed(shop, job)
    again = await handle.describe()
    assert (again.status, again.attempt) == (ActivityExecutionStatus.RUNNING, 1)
    assert again.start_delay is not None
    assert 10_700 < again.start_delay.total_seconds() <= 10_800
    assert (await read(owner, job))["status"] == "scheduled"
    assert (await owner.post(job["links"]["reschedule"], json={"delay_s": 0})).status_code == 200
    done = await until(owner, job, "succeeded")
    assert (done["attempt"], done["result"]["attempt"]) == (1, 1)


async def test_a_start_that_is_repeated_runs_the_job_once(owner: Caller, shop: Shop) -> None:
    running = await until(owner, await echo(owner, sleep_s=2), "running")
    done = await until(owner, await echo(owner), "succeeded")

    async with shop.engine.begin() as connection:
        for job in (running, done):
            await connection.execute(
                text(
                    "INSERT INTO outbox (aggregate, kind, payload) VALUES"
                    " ('job/' || :id, 'job_accepted', jsonb_build_object('job_id', CAST(:id AS text)))"
                ),
                {"id": job["id"]},
            )
    async with asyncio.timeout(10):
        while await outbox_rows(shop, running["id"]) + await outbox_rows(shop, done["id"]):
            await asyncio.sleep(0.02)

    assert (await until(owner, running, "succeeded"))["attempt"] == 1
    assert (await read(owner, done)) == done


@pytest.mark.outage
async def test_while_temporal_is_away_jobs_are_accepted_and_their_rows_are_shown(
    own_stack: RunningStack, own_caller: Caller
) -> None:
    waiting = await accepted(own_caller, delay_s=3_600)
    with frozen(own_stack, "temporal"):
        job = await accepted(own_caller)
        shown = await read(own_caller, job)
        cancelled = await own_caller.post(waiting["links"]["cancel"])
        assert len(await listed(own_caller)) == 2

    assert (shown["status"], shown["stale"]) == ("queued", True)
    assert cancelled.json()["status"] == "cancelled"
    assert not (await until(own_caller, job, "succeeded"))["stale"]


@pytest.mark.outage
async def test_a_watcher_waits_while_temporal_is_away_and_then_hears_the_rest(
    own_stack: RunningStack, own_caller: Caller
) -> None:
    job = await echo(own_caller, sleep_s=300)
    async with watching_path(own_caller, job["links"]["events"]) as stream:
        await stream.events(until="running")
        with frozen(own_stack, "temporal"):
            assert (await read(own_caller, job))["stale"]
        await own_caller.post(job["links"]["cancel"])
        async with asyncio.timeout(WITHIN_S):
            events = await stream.events()

    assert events[-1].entry["status"] == "cancelled"


@pytest.mark.outage
async def test_one_customers_crowd_of_jobs_does_not_starve_anothers_one(door: Door) -> None:
    many, one = door.customer("jobs:write"), door.customer("jobs:write")
    slots = asyncio.Semaphore(AT_ONCE)

    async def ask() -> None:
        async with slots:
            await accepted(many, queue="jobs-bulk", arguments={"message": "many", "sleep_s": 0.5})

    await asyncio.gather(*(ask() for _ in range(CROWD)))
    await until(one, await accepted(one, queue="jobs-bulk"), "succeeded")

    page = await listed(many, limit=100)
    rest = (await many.get("/v1/jobs", status="queued", limit=100)).json()["items"]
    assert len(page) == 100
    assert len(rest) > AT_ONCE


async def relayed(shop: Shop, job: Json) -> None:
    """Wait until Temporal has been told everything of a job."""
    async with asyncio.timeout(WITHIN_S):
        while await outbox_rows(shop, job["id"]):
            await asyncio.sleep(0.02)


async def outbox_rows(shop: Shop, job_id: str) -> int:
    async with shop.engine.connect() as connection:
        found = await connection.scalar(
            text("SELECT count(*) FROM outbox WHERE aggregate = 'job/' || :id"), {"id": job_id}
        )
    return int(found or 0)
