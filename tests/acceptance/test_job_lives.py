"""What becomes of jobs, as their owners see it: retries, progress, failure, delays and cancels."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.client import POLL_S, WITHIN_S, Caller, Door, assert_problem
from tests.jobs import FINAL, accepted, echo, listed, read, until

RETRY_WITHIN_S = 1.0
CANCEL_WITHIN_S = 5.0


@pytest.fixture
def owner(door: Door) -> Caller:
    return door.customer("jobs:write")


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_a_job_that_fails_is_tried_again_within_a_second(owner: Caller) -> None:
    done = await until(owner, await echo(owner, fail_times=1), "succeeded")

    assert done["result"]["attempt"] == done["attempt"] == 2
    assert done["last_error"] == {"code": "told_to_fail", "message": "attempt 1 fails, as told"}
    took = instant(done["finished_at"]) - instant(done["started_at"])
    assert took < timedelta(seconds=2 * RETRY_WITHIN_S)


async def test_between_attempts_a_job_is_retrying_and_says_when_and_why(owner: Caller) -> None:
    job = await until(owner, await echo(owner, fail_times=4), "retrying")

    assert job["last_error"]["code"] == "told_to_fail"
    assert job["attempt"] >= 1
    assert instant(job["next_retry_at"]) - datetime.now(UTC) < timedelta(seconds=5)
    assert job["result"] is None


async def test_after_five_attempts_a_job_has_failed(owner: Caller) -> None:
    job = await until(owner, await echo(owner, fail_times=9), "failed")

    assert job["attempt"] == 5
    assert job["last_error"] == {"code": "told_to_fail", "message": "attempt 5 fails, as told"}
    assert job["result"] is None
    assert [listed_job["id"] for listed_job in await listed(owner, status="failed")] == [job["id"]]


async def test_a_running_job_tells_its_progress(owner: Caller) -> None:
    job = await echo(owner, sleep_s=60)

    async with asyncio.timeout(WITHIN_S):
        while not ((found := await read(owner, job))["progress"] or {}).get("done"):
            await asyncio.sleep(POLL_S)

    assert found["status"] == "running"
    assert found["progress"]["total"] == 60
    assert found["progress"]["note"] == "sleeping"
    assert [listed_job["id"] for listed_job in await listed(owner, status="running")] == [job["id"]]
    await owner.post(job["links"]["cancel"])


async def test_a_running_job_is_cancelled_within_five_seconds(owner: Caller) -> None:
    job = await until(owner, await echo(owner, sleep_s=300), "running")
    asked_at = time.monotonic()

    answer = await owner.post(job["links"]["cancel"])

    assert answer.status_code == 200
    assert answer.json()["cancel_requested"]
    ended = await until(owner, job, "cancelled")
    assert time.monotonic() - asked_at < CANCEL_WITHIN_S
    assert (ended["attempt"], ended["result"]) == (1, None)


async def test_a_job_that_did_not_begin_or_is_between_attempts_is_cancelled_at_once(owner: Caller) -> None:
    waiting = await accepted(owner, delay_s=3_600)
    retrying = await echo(owner, fail_times=4)
    async with asyncio.timeout(WITHIN_S):
        while (await read(owner, retrying))["attempt"] < 3:
            await asyncio.sleep(POLL_S)
    await until(owner, retrying, "retrying")

    for job, attempts in ((waiting, {0}), (retrying, {3, 4})):
        cancelled = (await owner.post(job["links"]["cancel"])).json()
        assert cancelled["status"] == "cancelled"
        assert cancelled["attempt"] in attempts


async def test_cancelling_again_changes_nothing_and_a_job_that_is_over_stays_so(owner: Caller) -> None:
    cancelled = await accepted(owner, delay_s=3_600)
    done = await until(owner, await echo(owner), "succeeded")

    for _ in range(2):
        answer = await owner.post(cancelled["links"]["cancel"])
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert_problem(await owner.post(done["links"]["cancel"]), 409, "job_over")
    assert (await read(owner, done))["status"] == "succeeded"


@pytest.mark.parametrize("delayed_by", ["delay_s", "run_at"])
async def test_a_delayed_job_waits_and_a_rescheduled_one_begins_at_its_new_time(owner: Caller, delayed_by: str) -> None:
    later: Any = 7_200
    if delayed_by == "run_at":
        later = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    job = await accepted(owner, **{delayed_by: later})
    assert job["status"] == "scheduled"
    wait = instant(job["run_at"]) - instant(job["created_at"])
    assert timedelta(minutes=119) < wait <= timedelta(hours=2)

    farther = await owner.post(job["links"]["reschedule"], json={"delay_s": 10_800})
    assert farther.status_code == 200
    assert (await read(owner, job))["status"] == farther.json()["status"] == "scheduled"
    assert instant(farther.json()["run_at"]) > instant(job["run_at"])

    assert (await owner.post(job["links"]["reschedule"], json={"delay_s": 0})).status_code == 200
    done = await until(owner, job, "succeeded")
    assert instant(done["started_at"]) >= instant(done["run_at"])


async def test_a_job_that_began_or_is_over_cannot_be_rescheduled(owner: Caller) -> None:
    running = await until(owner, await echo(owner, sleep_s=60), "running")
    cancelled = (await owner.post((await accepted(owner, delay_s=3_600))["links"]["cancel"])).json()

    refused = await owner.post(running["links"]["reschedule"], json={"delay_s": 60})
    assert_problem(refused, 409, "job_began")
    assert_problem(await owner.post(cancelled["links"]["reschedule"], json={"delay_s": 60}), 409, "job_over")
    assert_problem(await owner.post(running["links"]["reschedule"], json={}), 422, "invalid_request")
    await owner.post(running["links"]["cancel"])


async def test_jobs_of_either_queue_and_any_priority_are_run(owner: Caller) -> None:
    jobs = [
        await accepted(owner, queue=queue, priority=priority) for queue in ("jobs", "jobs-bulk") for priority in (1, 5)
    ]

    for job in jobs:
        assert (await until(owner, job, *FINAL))["status"] == "succeeded"
