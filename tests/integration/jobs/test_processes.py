"""Jobs in processes of their own: what comes in and out of them, and how they end."""

import asyncio
import os
import time
from pathlib import Path

import psutil
import pytest
from sqlalchemy import update
from temporalio.client import ActivityFailureError
from temporalio.exceptions import ApplicationError

from activities.jobs.in_process import NICENESS
from contracts.jobs import JobProgress, JobStatus
from database.tables import jobs
from tests.acceptance.client import POLL_S, WITHIN_S
from tests.integration.jobs import crunching
from tests.integration.jobs.benches import Bench
from tests.integration.jobs.crunching import Crunch, Crunched
from tests.shop import Shop

CANCEL_WITHIN_S = 5.0
MIB = 1024**2


@pytest.fixture
def crunch(tmp_path: Path) -> Crunch:
    return Crunch(folder=tmp_path)


async def begun(crunch: Crunch) -> psutil.Process:
    """The process of a job that has begun."""
    async with asyncio.timeout(WITHIN_S):
        while not crunch.pid():
            await asyncio.sleep(POLL_S)
    return psutil.Process(crunch.pid())


async def test_a_job_computes_in_a_process_of_its_own_below_all_others(bench: Bench, crunch: Crunch) -> None:
    job_id = await bench.row()
    async with bench.running_in_processes(crunching.well):
        await bench.start(job_id, crunch)
        job = await bench.until(job_id, JobStatus.SUCCEEDED)

    found = Crunched.model_validate_json(job.result or "")
    assert found.pid != os.getpid()
    assert not psutil.pid_exists(found.pid)
    assert found.niceness == min(19, os.nice(0) + NICENESS)
    assert (found.activity_id, found.attempt) == (job_id, 1)
    assert job.progress == JobProgress(done=10_000, total=10_000, note="crunching")


async def test_what_a_job_refuses_in_its_process_is_told_as_it_said_it(bench: Bench, crunch: Crunch) -> None:
    job_id = await bench.row()
    async with bench.running_in_processes(crunching.refuses):
        await bench.start(job_id, crunch)
        job = await bench.until(job_id, JobStatus.FAILED)

    assert job.attempt == 1
    assert job.last_error is not None
    assert (job.last_error.code, job.last_error.message) == ("odd_numbers", "the numbers are odd")


async def test_odd_words_come_out_of_a_process_as_far_as_they_can_be_kept(bench: Bench, crunch: Crunch) -> None:
    job_id = await bench.row()
    async with bench.running_in_processes(crunching.refuses_in_odd_words):
        await bench.start(job_id, crunch)
        job = await bench.until(job_id, JobStatus.FAILED)

    assert job.last_error is not None
    assert job.last_error.code == "odd_words"
    assert job.last_error.message.startswith("\N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER} xxx")


async def test_an_error_that_a_job_does_not_foresee_is_known_to_temporal_and_not_to_its_owner(
    bench: Bench, crunch: Crunch
) -> None:
    job_id = await bench.row()
    async with bench.running_in_processes(crunching.breaks):
        handle = await bench.start(job_id, crunch, attempts=2)
        with pytest.raises(ActivityFailureError) as failed:
            await handle.result()
        job = await bench.until(job_id, JobStatus.FAILED)

    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    assert cause.type == "ValueError"
    assert "in breaks" in str(cause.cause)
    assert job.attempt == 2
    assert job.last_error is not None
    assert job.last_error.code == "unexpected_error"
    assert "secret" not in job.last_error.message


async def test_a_cancelled_job_tidies_up_and_its_process_is_gone(bench: Bench, crunch: Crunch) -> None:
    job_id = await bench.row()
    async with bench.running_in_processes(crunching.endless):
        handle = await bench.start(job_id, crunch)
        process = await begun(crunch)
        asked_at = time.monotonic()
        await handle.cancel()
        await bench.until(job_id, JobStatus.CANCELLED)

        assert time.monotonic() - asked_at < CANCEL_WITHIN_S
        assert not process.is_running()
    assert crunch.told("tidied")


async def test_a_job_that_does_not_listen_is_killed(bench: Bench, crunch: Crunch) -> None:
    job_id = await bench.row()
    async with bench.running_in_processes(crunching.deaf):
        handle = await bench.start(job_id, crunch)
        process = await begun(crunch)
        asked_at = time.monotonic()
        await handle.cancel()
        await bench.until(job_id, JobStatus.CANCELLED)

        assert time.monotonic() - asked_at < CANCEL_WITHIN_S
        assert not process.is_running()


async def test_a_job_that_takes_too_long_is_ended_and_has_timed_out(bench: Bench, crunch: Crunch) -> None:
    job_id = await bench.row()
    async with bench.running_in_processes(crunching.endless):
        await bench.start(job_id, crunch, attempts=1, timeout_s=2)
        process = await begun(crunch)
        job = await bench.until(job_id, JobStatus.TIMED_OUT)
        async with asyncio.timeout(CANCEL_WITHIN_S):
            while process.is_running():
                await asyncio.sleep(POLL_S)

    assert crunch.told("tidied")
    assert job.last_error is not None
    assert job.last_error.code == "timed_out"


async def test_a_worker_that_stops_takes_the_processes_of_its_jobs_along(bench: Bench, crunch: Crunch) -> None:
    job_id = await bench.row()
    async with bench.running_in_processes(crunching.endless):
        await bench.start(job_id, crunch)
        process = await begun(crunch)

    assert not process.is_running()
    assert crunch.told("tidied")


async def test_a_job_that_takes_more_memory_than_it_may_fails_alone(bench: Bench, crunch: Crunch) -> None:
    job_id = await bench.row()
    async with bench.running_in_processes(crunching.greedy, memory_bytes=500 * MIB):
        await bench.start(job_id, crunch, attempts=1)
        job = await bench.until(job_id, JobStatus.FAILED)

    assert job.last_error is not None
    assert job.last_error.code == "out_of_memory"


async def test_a_job_whose_process_dies_is_tried_again_from_where_it_was(bench: Bench, crunch: Crunch) -> None:
    job_id = await bench.row()
    async with bench.running_in_processes(crunching.dies_once):
        await bench.start(job_id, crunch)
        job = await bench.until(job_id, JobStatus.SUCCEEDED)

    assert job.last_error is not None
    assert (job.last_error.code, job.last_error.message) == (
        "process_died",
        "the process of this attempt ended by itself, with -11",
    )
    found = Crunched.model_validate_json(job.result or "")
    assert (found.attempt, found.earlier) == (2, 7)


async def test_an_attempt_in_a_process_knows_its_number_beyond_an_operators_retry(
    shop: Shop, bench: Bench, crunch: Crunch
) -> None:
    job_id = await bench.row()
    async with shop.engine.begin() as connection:
        await connection.execute(update(jobs).where(jobs.c.id == job_id).values(restarts=1, earlier_attempts=5))
    async with bench.running_in_processes(crunching.well):
        await bench.start(job_id, crunch)
        job = await bench.until(job_id, JobStatus.SUCCEEDED)

    found = Crunched.model_validate_json(job.result or "")
    assert (found.attempt, found.attempt_number) == (1, 6)
