"""What follows from the acceptance of jobs and from what is asked of them: Temporal is told."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog
from temporalio.client import ActivityOptionsKeys, Client
from temporalio.common import ActivityIDConflictPolicy, ActivityIDReusePolicy, Priority, RetryPolicy
from temporalio.exceptions import ActivityAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.outbox_relay import Handler
from contracts.job_types import JOB_TYPES
from contracts.jobs import Job, JobError, JobOutcome, JobStatus
from contracts.outbox import OutboxKind, OutboxRow
from database.job_runs import JobRuns

RPC_TIMEOUT = timedelta(seconds=5)
# The loss of a worker is noticed this soon, and a cancel arrives within a quarter of it.
HEARTBEAT_TIMEOUT = timedelta(seconds=4)
# It is over, or its first attempt has begun: there is nothing left to be told.
_TOO_LATE = (RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION)
# However often it is tried.
CANNOT_BEGIN = JobOutcome(
    status=JobStatus.FAILED, error=JobError(code="cannot_begin", message="Temporal does not take such a job.")
)

log = structlog.get_logger()


class NotOverYet(Exception):
    """Our books have heard that an activity of the job is over, and Temporal has not: it is to end first."""


class JobStarts:
    """Handles the outbox rows of jobs. That a job's id is its activity's makes a repeat harmless."""

    def __init__(self, client: Client, runs: JobRuns) -> None:
        self._client = client
        self._runs = runs

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {
            OutboxKind.JOB_ACCEPTED: self.accepted,
            OutboxKind.JOB_CANCELLED: self.cancelled,
            OutboxKind.JOB_RESCHEDULED: self.rescheduled,
            OutboxKind.JOB_RETRIED: self.retried,
            OutboxKind.JOB_PUT_OFF: self.put_off,
        }

    async def accepted(self, row: OutboxRow) -> None:
        job = await self._runs.find(row.payload["job_id"])
        if job is not None and not job.status.is_final:
            with suppress(ActivityAlreadyStartedError):
                await self._start(job, ActivityIDReusePolicy.REJECT_DUPLICATE)

    async def retried(self, row: OutboxRow) -> None:
        """Begin a new series of attempts under the job's id. Raises NotOverYet."""
        job = await self._runs.find(row.payload["job_id"])
        # One that runs was started here before.
        if job is not None and job.status in (JobStatus.SCHEDULED, JobStatus.QUEUED):
            try:
                await self._start(job, ActivityIDReusePolicy.ALLOW_DUPLICATE)
            except ActivityAlreadyStartedError:
                raise NotOverYet(job.id) from None

    async def put_off(self, row: OutboxRow) -> None:
        """Start a job anew that was about to begin before its time. Raises NotOverYet."""
        job = await self._runs.find(row.payload["job_id"])
        if job is not None and not job.status.is_final:
            try:
                await self._start(job, ActivityIDReusePolicy.ALLOW_DUPLICATE)
            except ActivityAlreadyStartedError as started:
                # Any other run was started here before.
                if started.run_id == row.payload["run_id"]:
                    raise NotOverYet(job.id) from None

    async def cancelled(self, row: OutboxRow) -> None:
        try:
            await self._client.get_activity_handle(row.payload["job_id"]).cancel(
                reason="asked for over the API", rpc_timeout=RPC_TIMEOUT
            )
        except RPCError as error:
            if error.status not in _TOO_LATE:
                raise

    async def rescheduled(self, row: OutboxRow) -> None:
        job = await self._runs.find(row.payload["job_id"])
        if job is None or job.status.is_final:
            return
        handle = self._client.get_activity_handle(job.id)
        try:
            scheduled_at = (await handle.describe(rpc_timeout=RPC_TIMEOUT)).schedule_time
            delay = max(timedelta(0), job.run_at - scheduled_at)
            await handle.update_options([ActivityOptionsKeys.start_delay.value_set(delay)], rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status not in _TOO_LATE:
                raise

    async def _start(self, job: Job, id_reuse_policy: ActivityIDReusePolicy) -> None:
        """Have Temporal begin a job. One that it refuses for good has failed."""
        job_type = JOB_TYPES[job.type]
        retries = job_type.retries
        delay = job.run_at - datetime.now(UTC)
        try:
            await self._client.start_activity(
                job.type,
                json.loads(job.arguments),
                id=job.id,
                task_queue=job.queue,
                start_to_close_timeout=timedelta(seconds=job_type.timeout_s),
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=RetryPolicy(
                    initial_interval=timedelta(seconds=retries.first_after_s),
                    maximum_interval=timedelta(seconds=retries.at_most_s),
                    maximum_attempts=retries.attempts,
                ),
                id_reuse_policy=id_reuse_policy,
                id_conflict_policy=ActivityIDConflictPolicy.FAIL,
                priority=Priority(priority_key=job.priority, fairness_key=_fairness_key(job.subject)),
                start_delay=delay if delay > timedelta(0) else None,
                rpc_timeout=RPC_TIMEOUT,
            )
        except RPCError as error:
            if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                raise
            log.error("Temporal does not take this job", job_id=job.id, type=job.type)
            await self._runs.settle_as_told(job.id, CANNOT_BEGIN, restarts=job.restarts)


def _fairness_key(subject: str) -> str:
    """A subject with ten thousand jobs takes turns with the one that has but one. Temporal takes 64 bytes."""
    return hashlib.sha256(subject.encode()).hexdigest()
