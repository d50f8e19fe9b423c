"""What is written down around the attempts of a job, and what Temporal hears."""

import asyncio
import json
import logging
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs
from temporalio import activity
from temporalio.client import ActivityFailureError, Client, PendingActivityState
from temporalio.exceptions import ApplicationError

from activities.jobs import runs
from activities.jobs.progress import earlier_progress, tell_progress
from activities.jobs.starting import JobStarts, NotOverYet
from api.auth import Principal
from api.job_keeping import JobKeeper
from contracts.job_types.diagnostics import EchoArguments, EchoResult
from contracts.jobs import MAX_RESULT_BYTES, JobError, JobOutcome, JobProgress, JobStatus
from contracts.outbox import OutboxKind, OutboxRow
from contracts.text import MAX_MESSAGE
from database.job_runs import JobRuns
from database.jobs import JobRepository
from database.tables import jobs, outbox
from payloads import data_converter
from tests.acceptance.client import POLL_S, WITHIN_S, Door
from tests.integration.jobs.benches import Bench
from tests.jobs import read, until
from tests.shop import Shop
from tests.stack_session import RunningStack

CANCEL_WITHIN_S = 5.0


async def test_a_blocking_job_runs_in_a_thread_and_a_cancel_reaches_it(bench: Bench) -> None:
    def blocking(arguments: EchoArguments) -> EchoResult:
        tell_progress(1, 2, arguments.message)
        while True:
            time.sleep(0.05)  # blocks, as what runs in a thread may

    job_id = await bench.row()
    async with bench.running(blocking):
        handle = await bench.start(job_id)
        await bench.until(job_id, JobStatus.RUNNING)
        asked_at = time.monotonic()
        await handle.cancel()
        job = await bench.until(job_id, JobStatus.CANCELLED)

    assert time.monotonic() - asked_at < CANCEL_WITHIN_S
    assert job.progress == JobProgress(done=1, total=2, note="hello")


async def test_a_job_that_fails_over_being_told_to_stop_is_cancelled(bench: Bench, door: Door) -> None:
    async def breaks(arguments: EchoArguments) -> EchoResult:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ApplicationError("it broke while it tidied up", type="broken") from None
        raise AssertionError(arguments)

    job_id = await bench.row()
    async with bench.running(breaks):
        handle = await bench.start(job_id)
        await bench.until(job_id, JobStatus.RUNNING)
        await handle.cancel(reason="asked for over the API")
        job = await until(door.operator(), {"id": job_id}, "cancelled")

    assert job["last_error"] == {"code": "broken", "message": "it broke while it tidied up"}


async def test_attempts_whose_worker_was_lost_at_once_count_as_well(bench: Bench, door: Door) -> None:
    job_id = await bench.row()
    await bench.start(job_id, attempts=2, timeout_s=0.1)
    for _ in range(2):
        await bench.lose_attempt()

    job = await until(door.operator(), {"id": job_id}, "timed_out")

    assert (job["attempt"], job["last_error"]["code"]) == (2, "timed_out")


async def test_a_job_that_never_beats_outlives_its_heartbeat_timeout(bench: Bench) -> None:
    async def silent(arguments: EchoArguments) -> EchoResult:
        await asyncio.sleep(6)  # longer than the heartbeat time-out
        return EchoResult(message=arguments.message, attempt=1)

    job_id = await bench.row()
    async with bench.running(silent):
        await bench.start(job_id)
        job = await bench.until(job_id, JobStatus.SUCCEEDED)

    assert job.attempt == 1


async def test_a_job_that_is_over_is_reported_once_more_and_not_run_again(bench: Bench) -> None:
    """Its worker was killed after our books had heard, and before Temporal had."""
    ran = []

    async def run(arguments: EchoArguments) -> EchoResult:
        ran.append(arguments)
        return EchoResult(message="again", attempt=2)

    job_id = await bench.row()
    await bench.runs.begin(job_id, 1)
    await bench.runs.settle(job_id, JobOutcome(status=JobStatus.SUCCEEDED, result='{"message": "hello"}'), attempt=1)
    async with bench.running(run):
        assert await (await bench.start(job_id)).result() == {"message": "hello"}

    assert ran == []


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.TIMED_OUT])
async def test_a_job_that_ended_without_a_result_is_not_run_again_either(bench: Bench, status: JobStatus) -> None:
    async def run(arguments: EchoArguments) -> EchoResult:
        raise AssertionError(arguments)

    job_id = await bench.row()
    await bench.runs.settle(
        job_id, JobOutcome(status=status, error=JobError(code="broken", message="it broke")), attempt=1
    )
    async with bench.running(run):
        with pytest.raises(ActivityFailureError):
            await (await bench.start(job_id)).result()

    assert (await bench.booked(job_id)).status is status


async def test_an_attempt_that_was_given_up_on_settles_nothing(bench: Bench) -> None:
    job_id = await bench.row()
    await bench.runs.begin(job_id, 1)
    await bench.runs.begin(job_id, 2)

    await bench.runs.settle(job_id, JobOutcome(status=JobStatus.SUCCEEDED, result="1"), attempt=1)
    assert (await bench.booked(job_id)).status is JobStatus.RUNNING
    await bench.runs.settle(job_id, JobOutcome(status=JobStatus.SUCCEEDED, result="2"), attempt=2)
    assert (await bench.booked(job_id)).result == "2"


async def test_an_error_that_a_job_does_not_foresee_shows_nothing_of_its_inside(bench: Bench) -> None:
    async def run(arguments: EchoArguments) -> EchoResult:
        raise ValueError("SELECT secret FROM somewhere")

    job_id = await bench.row()
    async with bench.running(run):
        await bench.start(job_id, attempts=2)
        job = await bench.until(job_id, JobStatus.FAILED)

    assert job.attempt == 2
    assert job.last_error is not None
    assert job.last_error.code == "unexpected_error"
    assert "secret" not in job.last_error.message


async def test_an_error_that_cannot_be_mended_is_not_tried_again(bench: Bench) -> None:
    async def run(arguments: EchoArguments) -> EchoResult:
        raise ApplicationError("there is no such customer", type="unknown_customer", non_retryable=True)

    job_id = await bench.row()
    async with bench.running(run):
        await bench.start(job_id)
        job = await bench.until(job_id, JobStatus.FAILED)

    assert job.attempt == 1
    assert job.last_error == JobError(code="unknown_customer", message="there is no such customer")


ODD_TEXTS = {"NUL": "\x00", "a lone surrogate": "\ud800", "a megabyte": "x" * 1024**2}


@pytest.mark.parametrize("odd", ODD_TEXTS.values(), ids=ODD_TEXTS.keys())
async def test_whatever_a_job_says_of_its_failure_is_written_down(
    bench: Bench, odd: str, caplog: pytest.LogCaptureFixture
) -> None:
    # What the SDK says of it could not be sent to the process that collects the tests' reports.
    caplog.set_level(logging.CRITICAL + 1, "temporalio.activity")

    async def run(arguments: EchoArguments) -> EchoResult:
        tell_progress(1, 2, f"page {odd}")
        raise ApplicationError(f"the customer is gone: {odd}", type=f"gone_{odd}", non_retryable=True)

    job_id = await bench.row()
    async with bench.running(run):
        await bench.start(job_id)
        job = await bench.until(job_id, JobStatus.FAILED)

    assert job.last_error is not None
    assert job.last_error.code.startswith("gone_")
    assert job.last_error.message.startswith("the customer is gone: ")
    assert len(job.last_error.message) <= MAX_MESSAGE
    assert job.progress is not None
    assert (job.progress.note or "").startswith("page ")


async def test_an_attempt_that_fails_in_odd_words_is_followed_by_another(bench: Bench) -> None:
    async def run(arguments: EchoArguments) -> EchoResult:
        if activity.info().attempt == 1:
            raise ApplicationError("\x00", type="told_to_fail")
        return EchoResult(message="\x00", attempt=2)

    job_id = await bench.row()
    async with bench.running(run):
        await bench.start(job_id)
        job = await bench.until(job_id, JobStatus.SUCCEEDED)

    assert job.last_error == JobError(code="told_to_fail", message="\N{REPLACEMENT CHARACTER}")
    assert json.loads(job.result or "") == {"message": "\x00", "attempt": 2}


async def test_a_result_that_is_too_large_is_refused(bench: Bench) -> None:
    async def run(arguments: EchoArguments) -> EchoResult:
        return EchoResult(message="x" * MAX_RESULT_BYTES, attempt=1)

    job_id = await bench.row()
    async with bench.running(run):
        await bench.start(job_id)
        job = await bench.until(job_id, JobStatus.FAILED)

    assert job.last_error is not None
    assert job.last_error.code == "result_too_large"


async def test_an_attempt_goes_on_where_the_one_before_it_was(bench: Bench) -> None:
    async def run(arguments: EchoArguments) -> EchoResult:
        earlier = earlier_progress()
        if earlier is None:
            tell_progress(7, 10)
            raise ApplicationError("not yet", type="not_yet")
        return EchoResult(message=f"went on at {earlier.done}", attempt=2)

    job_id = await bench.row()
    async with bench.running(run):
        await bench.start(job_id)
        job = await bench.until(job_id, JobStatus.SUCCEEDED)

    assert job.result == '{"message":"went on at 7","attempt":2}'


async def test_an_end_that_cannot_be_written_is_reported_and_settled_by_what_temporal_says(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "SETTLE_WITHIN_S", 0.5)
    finish = asyncio.Event()

    async def run(arguments: EchoArguments) -> EchoResult:
        await finish.wait()
        return EchoResult(message=arguments.message, attempt=1)

    job_id = await bench.row()
    async with bench.running(run):
        handle = await bench.start(job_id)
        await bench.until(job_id, JobStatus.RUNNING)
        async with bench.locked(job_id):
            finish.set()
            assert await handle.result() == {"message": "hello", "attempt": 1}
            assert (await bench.booked(job_id)).status is JobStatus.RUNNING

    # The worker of the stack looks for such.
    job = await bench.until(job_id, JobStatus.SUCCEEDED)
    assert json.loads(job.result or "") == {"message": "hello", "attempt": 1}


async def test_a_job_that_temporal_has_forgotten_has_failed(bench: Bench) -> None:
    job_id = await bench.row()
    await bench.runs.begin(job_id, 1)

    job = await bench.until(job_id, JobStatus.FAILED)

    assert job.last_error is not None
    assert job.last_error.code == "forgotten"


async def test_a_job_that_beats_with_details_of_its_own_is_shown_without_progress(bench: Bench, door: Door) -> None:
    done = asyncio.Event()

    async def run(arguments: EchoArguments) -> EchoResult:
        activity.heartbeat("page", 7)
        await done.wait()
        return EchoResult(message=arguments.message, attempt=1)

    job_id = await bench.row()
    async with bench.running(run):
        handle = await bench.start(job_id)
        async with asyncio.timeout(WITHIN_S):
            while not (await handle.describe(include_heartbeat_details=True)).has_heartbeat_details():
                await asyncio.sleep(POLL_S)
        shown = await read(door.operator(), {"id": job_id})
        done.set()
        job = await bench.until(job_id, JobStatus.SUCCEEDED)

    assert (shown["status"], shown["progress"]) == ("running", None)
    assert job.progress is None


async def test_a_run_that_is_early_is_put_off_once_however_often_its_attempts_are_lost(
    shop: Shop, bench: Bench
) -> None:
    job_id = await bench.row()
    async with shop.engine.begin() as connection:
        later = datetime.now(UTC) + timedelta(hours=2)
        await connection.execute(
            update(jobs)
            .where(jobs.c.id == job_id)
            .values(type="diagnostics.echo", arguments='{"message": "hello"}', run_at=later)
        )
        # The relay waits for this one.
        await connection.execute(outbox.insert().values(aggregate=f"job/{job_id}", kind="of_later", payload={}))
    early = await bench.start(job_id)

    for attempt in (1, 2):
        refused = await bench.runs.begin(job_id, attempt, early.run_id)
        assert refused is not None
        assert refused.status is JobStatus.SCHEDULED

    of_job = select(outbox).where(outbox.c.aggregate == f"job/{job_id}", outbox.c.kind == OutboxKind.JOB_PUT_OFF)
    async with shop.engine.begin() as connection:
        [put_off] = [OutboxRow.model_validate(row._mapping) for row in await connection.execute(of_job)]
        await connection.execute(outbox.delete().where(outbox.c.aggregate == f"job/{job_id}"))
    assert (await bench.booked(job_id)).restarts == 1
    starts = JobStarts(shop.client, bench.runs)
    with pytest.raises(NotOverYet):
        await starts.put_off(put_off)
    await early.terminate()
    # The second time as after a crash of the relay.
    for _ in range(2):
        await starts.put_off(put_off)
    again = await shop.client.get_activity_handle(job_id).describe()
    assert again.activity_run_id != early.run_id
    assert again.run_state is PendingActivityState.SCHEDULED
    await shop.client.get_activity_handle(job_id).terminate()


async def test_a_retry_waits_until_temporal_has_heard_of_the_failure(shop: Shop, bench: Bench) -> None:
    """Our books hear first; what begins anew then has the id of an activity that is open still."""
    job_id = await bench.row()
    async with shop.engine.begin() as connection:
        failed_and_retried = {"type": "diagnostics.echo", "arguments": '{"message": "hello"}', "restarts": 1}
        await connection.execute(update(jobs).where(jobs.c.id == job_id).values(**failed_and_retried))
    earlier = await bench.start(job_id)
    starts = JobStarts(shop.client, bench.runs)
    asked = OutboxRow(
        id=1,
        aggregate=f"job/{job_id}",
        kind=OutboxKind.JOB_RETRIED,
        payload={"job_id": job_id},
        created_at=datetime.now(UTC),
    )

    with pytest.raises(NotOverYet):
        await starts.retried(asked)
    await earlier.terminate()
    await starts.retried(asked)

    started = await shop.client.get_activity_handle(job_id).describe()
    assert started.activity_run_id != earlier.run_id
    assert started.run_state is PendingActivityState.SCHEDULED
    await shop.client.get_activity_handle(job_id).terminate()


async def test_a_job_that_is_encrypted_with_a_key_that_is_not_here_is_shown_as_our_books_have_it(
    shop: Shop, stack: RunningStack
) -> None:
    keys = {"old": os.urandom(32)}

    async def connected(keys: Mapping[str, bytes]) -> Client:
        return await Client.connect(
            stack.temporal_address, namespace=stack.temporal_namespace, data_converter=data_converter(keys)
        )

    def keeper(client: Client) -> JobKeeper:
        return JobKeeper(JobRepository(shop.engine), JobRuns(shop.engine), client)

    async def failing(arguments: EchoArguments) -> EchoResult:
        raise ApplicationError(arguments.message, type="told_to_fail", next_retry_delay=timedelta(hours=1))

    encrypting, other = await connected(keys), await connected({"new": os.urandom(32)})
    bench, owner = Bench(Shop(encrypting, shop.engine, shop.ledger)), Principal("bench", frozenset({"jobs:write"}))
    job_id = await bench.row()
    async with bench.running(failing):
        handle = await bench.start(job_id)
        async with asyncio.timeout(WITHIN_S):
            while (known := await keeper(encrypting).get(owner, job_id)).status is not JobStatus.RETRYING:
                await asyncio.sleep(POLL_S)
    with capture_logs() as logged:
        shown = await keeper(other).get(owner, job_id)
    await handle.terminate()

    assert known.last_error == JobError(code="told_to_fail", message="hello")
    assert (known.stale, shown.id, shown.stale) == (False, job_id, True)
    [line] = [line for line in logged if line["log_level"] == "warning"]
    assert "key 'old'" in line["cause"]
