"""Keeps jobs for their owners: accepting takes Postgres alone, and live details are asked of Temporal."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from structlog.contextvars import bind_contextvars
from temporalio.client import ActivityExecutionDescription, Client, PendingActivityState
from temporalio.service import RPCError, RPCStatusCode

from api.auth import Principal
from api.cursors import next_cursor, position_of
from api.errors import IdempotencyKeyReused, JobBegan, JobOver, NotFound
from api.idempotency import key_hash_of
from api.job_bodies import JobBody, RescheduleBody
from api.job_requests import arguments_of, type_of, written
from api.job_resource import JobList, JobResource, JobState, JobSummaryResource, LiveDetails
from api.outages import Unreachable, asking_postgres, asking_temporal
from contracts.audit import Act
from contracts.ids import new_job_id
from contracts.job_outcomes import error_of, outcome_of, progress_of
from contracts.jobs import Job, JobStatus
from database.job_runs import JobRuns
from database.jobs import JobRepository, KeyReused, WantedJob
from database.paging import Position
from payloads import PayloadUnreadable

DESCRIBE_WITHIN_S = 1.0
UNBEGUN = (JobStatus.SCHEDULED, JobStatus.QUEUED)
# One that is paused between its attempts, by somebody in the Web UI, waits as all that does not run.
RUNS = (
    PendingActivityState.STARTED,
    PendingActivityState.CANCEL_REQUESTED,
    PendingActivityState.PAUSE_REQUESTED,
)

log = structlog.get_logger()


@dataclass(frozen=True)
class AskedForJob:
    """What a request for a job leads to: a new job, or one that was there."""

    job: JobResource
    is_new: bool
    replayed: bool


class JobKeeper:
    """Accepts, shows, cancels and reschedules jobs.

    Every method raises Unreachable, and those that take a job's id NotFound, also for somebody else's. What an operator
    does to somebody else's is in the audit log (`act`).
    """

    def __init__(self, jobs: JobRepository, runs: JobRuns, temporal: Client) -> None:
        self._jobs = jobs
        self._runs = runs
        self._temporal = temporal

    async def accept(self, caller: Principal, key: str, body: JobBody) -> AskedForJob:
        """Accept a job. Raises InvalidRequest, RequestValidationError or IdempotencyKeyReused."""
        job_type = type_of(body.type, body.queue)
        arguments = arguments_of(job_type, body.arguments, "arguments")
        wanted = WantedJob(
            id=new_job_id(),
            type=job_type.name,
            subject=caller.subject,
            arguments=written(arguments, "arguments"),
            queue=body.queue or job_type.queue,
            priority=body.priority,
            unique_key=body.unique_key or job_type.unique_key_for(arguments),
            delay_s=body.delay_s,
            run_at=body.run_at,
            key_hash=key_hash_of(key),
            request_hash=body.request_hash,
        )
        while True:
            try:
                async with asking_postgres():
                    accepted = await self._jobs.accept(wanted)
            except KeyReused:
                raise IdempotencyKeyReused("Repeat the very same body, or send a new key with a new job.") from None
            _bind(accepted.job.id)
            if accepted.is_new:
                return AskedForJob(JobResource.now(accepted.job), is_new=True, replayed=False)
            shown = await self._now(accepted.job)
            if accepted.replayed or not shown.status.is_final:
                return AskedForJob(shown, is_new=False, replayed=accepted.replayed)
            # It lived under the unique key in our books alone, which know better by now.
            async with asking_postgres():
                await self._jobs.release_key(wanted, accepted.job.id)

    async def get(self, caller: Principal, job_id: str) -> JobResource:
        return await self._now(await self.known(caller, job_id))

    async def list(
        self,
        caller: Principal,
        *,
        type: str | None,  # noqa: A002
        status: JobStatus | None,
        batch: str | None,
        cursor: str | None,
        limit: int,
    ) -> JobList:
        """A page of the caller's jobs, or everybody's for an operator. Raises InvalidCursor."""
        after = position_of(cursor)
        async with asking_postgres():
            found = await self._jobs.list(
                subject=None if caller.is_operator else caller.subject,
                type=type,
                status=status,
                batch_id=batch,
                after=after,
                limit=limit + 1,
            )
        return JobList(
            items=tuple(map(JobSummaryResource.of, found[:limit])),
            next_cursor=next_cursor(found, limit, lambda job: Position(job.created_at, job.id)),
        )

    async def cancel(self, caller: Principal, job_id: str, act: Act) -> JobResource:
        """End a job at once while nothing of it runs, else ask it to stop. Raises JobOver, not for a cancelled one."""
        known = await self.known(caller, job_id)
        async with asking_postgres():
            cancelled = await self._jobs.cancel(job_id, act if caller.acts_for(known.subject) else None)
            known = cancelled or await self._jobs.find(job_id) or known
        if cancelled is None and known.status is not JobStatus.CANCELLED:
            raise JobOver(f"It is {known.status} already.")
        return await self._now(known)

    async def reschedule(self, caller: Principal, job_id: str, body: RescheduleBody, act: Act) -> JobResource:
        """Have a job that waits for its time begin at another. Raises JobOver or JobBegan."""
        known = await self.known(caller, job_id)
        async with asking_postgres():
            rescheduled = await self._jobs.reschedule(
                job_id,
                delay_s=body.delay_s,
                run_at=body.run_at,
                act=act if caller.acts_for(known.subject) else None,
            )
        if rescheduled is not None:
            return JobResource.now(rescheduled)
        status = (await self.known(caller, job_id)).status
        raise JobOver(f"It is {status} already.") if status.is_final else JobBegan(f"It is {status} already.")

    async def known(self, caller: Principal, job_id: str) -> Job:
        """The job as our books have it."""
        _bind(job_id)
        async with asking_postgres():
            job = await self._jobs.find(job_id)
        if job is None or not caller.owns(job.subject):
            raise NotFound
        return job

    async def state_of(self, job_id: str) -> JobState | None:
        """What of a job changes, as it is now; None while Temporal does not say. Raises Unreachable."""
        async with asking_postgres():
            job = await self._jobs.find(job_id)
        now = await self._now(job) if job is not None else None
        return JobState.of(now) if now is not None and not now.stale else None

    async def _now(self, job: Job) -> JobResource:
        """The job as it is now. When Temporal says that it is over, and our books do not yet, they learn of it here."""
        if job.status.is_final:
            return JobResource.now(job)
        if job.restarts and job.status in UNBEGUN and await self._is_to_be_started(job):
            # Temporal would tell of the attempts before.
            return JobResource.now(job)
        handle = self._temporal.get_activity_handle(job.id)
        try:
            async with asking_temporal(DESCRIBE_WITHIN_S):
                description = await handle.describe(
                    include_outcome=True,
                    include_heartbeat_details=True,
                    include_last_failure=True,
                    rpc_timeout=timedelta(seconds=DESCRIBE_WITHIN_S),
                )
        except Unreachable:
            return JobResource.now(job, stale=True)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            # It is in the outbox still.
            return JobResource.now(job)
        try:
            outcome = await outcome_of(description)
            live = await _live(job, description) if outcome is None else None
        except PayloadUnreadable as unreadable:
            log.warning("what Temporal tells of a job cannot be read", cause=str(unreadable))
            return JobResource.now(job, stale=True)
        if outcome is None:
            return JobResource.now(job, live)
        async with asking_postgres():
            return JobResource.now(await self._runs.settle_as_told(job.id, outcome, restarts=job.restarts) or job)

    async def _is_to_be_started(self, job: Job) -> bool:
        async with asking_postgres():
            return await self._runs.is_to_be_started(job.id)


async def _live(job: Job, description: ActivityExecutionDescription) -> LiveDetails:
    failure = await description.last_failure()
    error = error_of(failure) if failure is not None else None
    next_at = description.next_attempt_schedule_time
    if description.run_state in RUNS:
        status = JobStatus.RUNNING
    elif description.attempt > 1:
        status = JobStatus.RETRYING
    elif description.execution_time is not None and description.execution_time > datetime.now(UTC):
        status = JobStatus.SCHEDULED
    else:
        status = JobStatus.QUEUED
    begun = status is JobStatus.RUNNING
    return LiveDetails(
        status=status,
        attempt=job.earlier_attempts + (description.attempt if begun else description.attempt - 1),
        progress=progress_of(await description.heartbeat_details()),
        last_error=error,
        next_retry_at=next_at if status is JobStatus.RETRYING else None,
    )


def _bind(job_id: str) -> None:
    bind_contextvars(job_id=job_id)
