"""Around every attempt of a job: our books hear that it begins and how it ends, before Temporal does.

docs/decisions/jobs-status.md
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg
import structlog
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from activities.jobs.attempts import begins
from activities.metrics import UNSEEN, Attempt, WorkerMetrics
from contracts.job_outcomes import error_of, progress_of
from contracts.jobs import MAX_RESULT_BYTES, Job, JobOutcome, JobProgress, JobStatus
from database.job_runs import JobRuns

ASK_AGAIN_AFTER_S = 1.0
# A job that is done is reported to Temporal even when our books are away: they hear of it from there.
SETTLE_WITHIN_S = 10.0

Found = TypeVar("Found")

log = structlog.get_logger()


class JobBooks(Interceptor):
    """Writes down the attempts of jobs; one that is over or cancelled is not run."""

    def __init__(self, runs: JobRuns, metrics: WorkerMetrics = UNSEEN) -> None:
        self._runs = runs
        self._metrics = metrics

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Inbound(next, self._runs, self._metrics)


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, runs: JobRuns, metrics: WorkerMetrics) -> None:  # noqa: A002
        super().__init__(next)
        self._runs = runs
        self._metrics = metrics

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        self._outbound = _Outbound(outbound)
        super().init(self._outbound)

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        info = activity.info()
        attempt = info.attempt
        job = await _insisting(lambda: self._runs.begin(info.activity_id, attempt, info.activity_run_id))
        if job is None:
            raise ApplicationError("there is no such job", type="unknown_job", non_retryable=True)
        if job.status.is_final:
            return _reported(job)
        number = job.earlier_attempts + attempt
        if job.cancel_requested_at is not None:
            await self._settle(number, JobOutcome(status=JobStatus.CANCELLED))
            raise _cancelled()
        if job.attempt > number:
            raise ApplicationError("a later attempt has begun", type="superseded")
        if job.status is JobStatus.SCHEDULED:
            raise ApplicationError("the job is to begin later, and will", type="put_off", non_retryable=True)
        begins(job, self._runs)
        with self._metrics.job_attempt(job.type) as counted:
            return await self._attempt(number, input, counted)

    async def _attempt(self, number: int, input: ExecuteActivityInput, counted: Attempt) -> BaseModel:  # noqa: A002
        try:
            result: BaseModel = await super().execute_activity(input)
            text = written(result)
        except (asyncio.CancelledError, CancelledError):
            details = activity.cancellation_details()
            if details is not None and details.cancel_requested:
                counted.outcome = "cancelled"
                await self._settle(number, JobOutcome(status=JobStatus.CANCELLED))
            raise
        except Exception as error:
            counted.outcome = await self._failed(number, error)
            raise
        counted.outcome = "succeeded"
        await self._settle(number, JobOutcome(status=JobStatus.SUCCEEDED, result=text))
        return result

    async def _failed(self, number: int, failure: Exception) -> str:
        """Write down that an attempt failed; returns what it counts as."""
        info, error = activity.info(), error_of(failure)
        attempts = info.retry_policy.maximum_attempts if info.retry_policy else 0
        is_last = (attempts and info.attempt >= attempts) or getattr(failure, "non_retryable", False)
        if is_last:
            await self._settle(number, JobOutcome(status=JobStatus.FAILED, error=error))
            return "failed"
        await self._bounded(lambda: self._runs.will_retry(info.activity_id, number, error))
        return "retried"

    async def _settle(self, number: int, outcome: JobOutcome) -> None:
        job_id, progress = activity.info().activity_id, self._outbound.progress
        await self._bounded(lambda: self._runs.settle(job_id, outcome, attempt=number, progress=progress))

    async def _bounded(self, write: Callable[[], Awaitable[Any]]) -> None:
        try:
            async with asyncio.timeout(SETTLE_WITHIN_S):
                await _insisting(write)
        except TimeoutError:
            log.warning("our books will hear from Temporal how this attempt ended")


class _Outbound(ActivityOutboundInterceptor):
    """Remembers how far the job said it is."""

    progress: JobProgress | None = None

    def heartbeat(self, *details: Any) -> None:
        self.progress = progress_of(details) or self.progress
        super().heartbeat(*details)


def written(result: BaseModel) -> str:
    """A result as it is kept. Raises ApplicationError when it is too large."""
    text = result.model_dump_json()
    if len(text.encode()) > MAX_RESULT_BYTES:
        raise ApplicationError(
            f"the result has more than {MAX_RESULT_BYTES} bytes; keep it elsewhere and return its id",
            type="result_too_large",
            non_retryable=True,
        )
    return text


def _reported(job: Job) -> Any:
    """Report once more how a job ended, whose worker was lost before Temporal heard of it."""
    match job.status:
        case JobStatus.SUCCEEDED:
            return json.loads(job.result or "null")
        case JobStatus.CANCELLED:
            raise _cancelled()
        case _:
            code, message = (job.last_error.code, job.last_error.message) if job.last_error else (job.status, "")
            raise ApplicationError(message, type=code, non_retryable=True)


def _cancelled() -> ApplicationError:
    # Not CancelledError, which Temporal takes from those alone whom it told to cancel.
    return ApplicationError("the job was cancelled before this attempt", type="cancelled", non_retryable=True)


async def _insisting(ask: Callable[[], Awaitable[Found]]) -> Found:
    """Wait out an outage of Postgres."""
    while True:
        try:
            return await ask()
        except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            log.warning("our books do not answer a job", error=type(error).__name__)
        await asyncio.sleep(ASK_AGAIN_AFTER_S)
