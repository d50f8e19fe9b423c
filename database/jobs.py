"""Jobs as their owners know them. A job and what has it begun are written in one transaction, as is each command."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Update, case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.audit import Act, AuditAction
from contracts.jobs import DEFAULT_PRIORITY, MAX_ARGUMENTS_BYTES, Job, JobStatus, JobSummary
from contracts.outbox import OutboxKind
from database.audit import record
from database.job_events import told
from database.outbox import put
from database.paging import Position, newest_first
from database.tables import job_keys, jobs

# When a job becomes due nobody is there to write it down, so what waits is stored as `scheduled` until it begins.
_waits = jobs.c.status == JobStatus.SCHEDULED
_is_due = jobs.c.run_at <= func.now()
STATUS = case((_waits & _is_due, JobStatus.QUEUED.value), else_=jobs.c.status).label("status")
_INTERNAL = ("status", "checked_at", "held", "batch_item", "arguments", "result")
_SUMMARY = [*(column for column in jobs.c if column.name not in _INTERNAL), STATUS]
COLUMNS = [*_SUMMARY, jobs.c.arguments, jobs.c.result]
# Nothing runs: who cancels such a job ends it, and its next attempt finds it so.
_WAITING = (JobStatus.SCHEDULED, JobStatus.RETRYING)


class KeyReused(Exception):
    """This subject used the idempotency key with another request before."""


class ArgumentsTooLarge(ValueError):
    """No job may have such: Temporal would not take it."""


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job to be; its arguments are JSON. Neither `delay_s` nor `run_at` means at once.

    Raises ArgumentsTooLarge.
    """

    id: str
    type: str
    subject: str
    arguments: str
    queue: str
    priority: int = DEFAULT_PRIORITY
    unique_key: str | None = None
    delay_s: float | None = None
    run_at: datetime | None = None

    def __post_init__(self) -> None:
        if len(self.arguments.encode()) > MAX_ARGUMENTS_BYTES:
            raise ArgumentsTooLarge(f"a job's arguments have at most {MAX_ARGUMENTS_BYTES} bytes")


@dataclass(frozen=True, kw_only=True)
class WantedJob(NewJob):
    """A job as asked for; the hashes stand for its idempotency key and its request."""

    key_hash: str
    request_hash: str


@dataclass(frozen=True)
class AcceptedJob:
    """What a request is answered with: a new job, the one its key had made, or the one live under its unique key."""

    job: Job
    is_new: bool
    replayed: bool


class JobRepository:
    """Accepts, finds and lists jobs, and takes what is asked of them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def accept(self, wanted: WantedJob) -> AcceptedJob:
        """Accept a job, once per key, however many ask at once. Raises KeyReused."""
        async with self._engine.begin() as connection:
            while not await self._claim(connection, wanted):
                # None when the key was cleaned up between the two statements: it is free again.
                if earlier := await self._replay(connection, wanted):
                    return earlier
            while True:
                if inserted := await enqueue(connection, wanted):
                    return AcceptedJob(inserted, is_new=True, replayed=False)
                # The one that stood in the way may be over by now.
                if live := await self._live(connection, wanted):
                    await connection.execute(
                        update(job_keys)
                        .where(job_keys.c.subject == wanted.subject, job_keys.c.key_hash == wanted.key_hash)
                        .values(job_id=live.id)
                    )
                    return AcceptedJob(live, is_new=False, replayed=False)

    async def release_key(self, wanted: WantedJob, job_id: str) -> None:
        """Have the idempotency key free again that `accept` had just given to a job, which turned out to be over."""
        release = delete(job_keys).where(
            job_keys.c.subject == wanted.subject,
            job_keys.c.key_hash == wanted.key_hash,
            job_keys.c.job_id == job_id,
        )
        async with self._engine.begin() as connection:
            await connection.execute(release)

    async def _claim(self, connection: AsyncConnection, wanted: WantedJob) -> bool:
        """Take the idempotency key for this job, if it is free."""
        claimed = await connection.scalar(
            insert(job_keys)
            .values(
                subject=wanted.subject,
                key_hash=wanted.key_hash,
                request_hash=wanted.request_hash,
                job_id=wanted.id,
            )
            .on_conflict_do_nothing()
            .returning(job_keys.c.job_id)
        )
        return claimed is not None

    async def _live(self, connection: AsyncConnection, wanted: WantedJob) -> Job | None:
        query = select(*COLUMNS).where(
            jobs.c.subject == wanted.subject,
            jobs.c.type == wanted.type,
            jobs.c.unique_key == wanted.unique_key,
            jobs.c.finished_at.is_(None),
        )
        found = (await connection.execute(query)).one_or_none()
        return job_of(found) if found is not None else None

    async def _replay(self, connection: AsyncConnection, wanted: WantedJob) -> AcceptedJob | None:
        query: Select[Any] = (
            select(*COLUMNS, job_keys.c.request_hash)
            .join_from(job_keys, jobs, jobs.c.id == job_keys.c.job_id)
            .where(job_keys.c.subject == wanted.subject, job_keys.c.key_hash == wanted.key_hash)
        )
        earlier = (await connection.execute(query)).one_or_none()
        if earlier is None:
            return None
        if earlier.request_hash != wanted.request_hash:
            raise KeyReused
        return AcceptedJob(job_of(earlier), is_new=False, replayed=True)

    async def enqueue(self, job: NewJob) -> None:
        """Accept a job in a transaction of its own; see `enqueue` below."""
        async with self._engine.begin() as connection:
            await enqueue(connection, job)

    async def find(self, job_id: str) -> Job | None:
        async with self._engine.connect() as connection:
            found = (await connection.execute(select(*COLUMNS).where(jobs.c.id == job_id))).one_or_none()
        return job_of(found) if found is not None else None

    async def summaries(self, job_ids: Sequence[str]) -> Mapping[str, JobSummary]:
        """Those of these jobs that there are, by their ids."""
        query = select(*_SUMMARY).where(jobs.c.id.in_(job_ids))
        async with self._engine.connect() as connection:
            found = [JobSummary.model_validate(row._mapping) for row in await connection.execute(query)]
        return {summary.id: summary for summary in found}

    async def list(
        self,
        *,
        subject: str | None,
        type: str | None,  # noqa: A002
        status: JobStatus | None,
        batch_id: str | None,
        after: Position | None,
        limit: int,
    ) -> Sequence[JobSummary]:
        """At most `limit` jobs, newest first; None leaves a filter out."""
        query = newest_first(select(*_SUMMARY), jobs, after, limit)
        if subject is not None:
            query = query.where(jobs.c.subject == subject)
        if type is not None:
            query = query.where(jobs.c.type == type)
        if batch_id is not None:
            query = query.where(jobs.c.batch_id == batch_id)
        match status:
            case JobStatus.SCHEDULED:
                query = query.where(_waits, ~_is_due)
            case JobStatus.QUEUED:
                query = query.where(_waits, _is_due)
            case JobStatus():
                query = query.where(jobs.c.status == status)
        async with self._engine.connect() as connection:
            return [JobSummary.model_validate(row._mapping) for row in await connection.execute(query)]

    async def cancel(self, job_id: str, act: Act | None = None) -> Job | None:
        """End a job of which nothing runs, or have the one that runs told; None when it was over already.

        The lock on the row decides between this and the beginning of an attempt. An operator's `act` is entered in the
        audit log with it, here and below.
        """
        async with self._engine.begin() as connection:
            before = await _locked(connection, job_id)
            change = cancelling(jobs.c.id == job_id)
            found = (await connection.execute(told(change.returning(*COLUMNS)))).one_or_none()
            if found is None or before is None:
                return None
            await _put(connection, job_id, OutboxKind.JOB_CANCELLED)
            after = {"status": found.status, "cancel_requested": True}
            was = {"status": before.status, "cancel_requested": before.cancel_requested_at is not None}
            if act is not None and was != after:
                await record(connection, act, AuditAction.JOB_CANCEL, job_id, before=was, after=after)
        return job_of(found)

    async def reschedule(
        self, job_id: str, *, delay_s: float | None, run_at: datetime | None, act: Act | None = None
    ) -> Job | None:
        """Have a job that is not due yet begin at another time; None when it is due, began, or is over."""
        later: Any = run_at
        if later is None:
            later = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, delay_s or 0.0)
        async with self._engine.begin() as connection:
            before = await _locked(connection, job_id)
            row = await connection.execute(
                update(jobs).where(jobs.c.id == job_id, _waits, ~_is_due).values(run_at=later).returning(*COLUMNS)
            )
            found = row.one_or_none()
            if found is None or before is None:
                return None
            await _put(connection, job_id, OutboxKind.JOB_RESCHEDULED)
            if act is not None:
                was, after = ({"run_at": at.isoformat()} for at in (before.run_at, found.run_at))
                await record(connection, act, AuditAction.JOB_RESCHEDULE, job_id, before=was, after=after)
        return job_of(found)


async def enqueue(connection: AsyncConnection, job: NewJob) -> Job | None:
    """Accept a job as a part of the connection's transaction.

    None when there is one of the same id already, or one that is live under the same unique key.
    """
    run_at: Any = job.run_at
    if run_at is None:
        run_at = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, job.delay_s or 0.0)
    row = await connection.execute(
        insert(jobs)
        .values(
            id=job.id,
            type=job.type,
            subject=job.subject,
            arguments=job.arguments,
            queue=job.queue,
            priority=job.priority,
            unique_key=job.unique_key,
            status=JobStatus.SCHEDULED,
            run_at=run_at,
        )
        .on_conflict_do_nothing()
        .returning(*COLUMNS)
    )
    found = row.one_or_none()
    if found is None:
        return None
    await _put(connection, job.id, OutboxKind.JOB_ACCEPTED)
    return job_of(found)


async def _locked(connection: AsyncConnection, job_id: str) -> Row[Any] | None:
    """What the job is before it is changed."""
    query: Select[Any] = select(STATUS, jobs.c.run_at, jobs.c.cancel_requested_at).where(jobs.c.id == job_id)
    row: Row[Any] | None = (await connection.execute(query.with_for_update(key_share=True))).one_or_none()
    return row


async def _put(connection: AsyncConnection, job_id: str, kind: OutboxKind) -> None:
    await put(connection, aggregate=f"job/{job_id}", kind=kind, payload={"job_id": job_id})


def cancelling(*conditions: ColumnElement[bool]) -> Update:
    """The change of live jobs that are to be cancelled: what runs is asked to end, the others do."""
    waiting = jobs.c.status.in_(_WAITING)
    return (
        update(jobs)
        .where(jobs.c.finished_at.is_(None), *conditions)
        .values(
            cancel_requested_at=func.coalesce(jobs.c.cancel_requested_at, func.now()),
            status=case((waiting, JobStatus.CANCELLED.value), else_=jobs.c.status),
            finished_at=case((waiting, func.now())),
        )
    )


def job_of(row: Row[Any]) -> Job:
    return Job.model_validate(row._mapping)
