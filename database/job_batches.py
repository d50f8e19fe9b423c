"""Batches of jobs. Their jobs are rows from the start, held back until there is room for them in the batch's window."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.audit import Act, AuditAction
from contracts.ids import new_job_id
from contracts.job_batches import BatchProgress, BatchTurn, FailedItem, JobBatch
from contracts.jobs import JobStatus
from contracts.outbox import OutboxKind
from database.audit import record
from database.job_events import told
from database.jobs import COLUMNS, STATUS, KeyReused, cancelling
from database.outbox import put
from database.tables import job_batches, jobs, outbox

_COLUMNS = [column for column in job_batches.c if column.name not in ("key_hash", "request_hash")]
_LET_GO = ~jobs.c.held
_LIVE = jobs.c.finished_at.is_(None)
_FAILED = (JobStatus.FAILED, JobStatus.TIMED_OUT)

# Ten thousand rows by one statement of a few parameters.
_INSERT_JOBS = text("""
    INSERT INTO followthrough.jobs
        (id, type, subject, arguments, queue, priority, status, run_at, batch_id, batch_item, held)
    SELECT item.id, batch.type, batch.subject, item.arguments, batch.queue, batch.priority, 'scheduled', now(),
        batch.id, item.number - 1, true
    FROM followthrough.job_batches AS batch,
        unnest(CAST(:ids AS text[]), CAST(:arguments AS text[])) WITH ORDINALITY AS item (id, arguments, number)
    WHERE batch.id = :batch_id
""")


@dataclass(frozen=True)
class WantedBatch:
    """A batch as asked for: JSON arguments for each job. The hashes stand for its idempotency key and its request."""

    id: str
    type: str
    subject: str
    queue: str
    priority: int
    items: Sequence[str]
    key_hash: str
    request_hash: str


class BatchRepository:
    """Accepts, shows and cancels batches, and lets their jobs go."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def accept(self, wanted: WantedBatch) -> tuple[JobBatch, bool]:
        """Accept a batch with all its jobs, once per key; False when the key was used before. Raises KeyReused."""
        row = insert(job_batches).values(
            id=wanted.id,
            type=wanted.type,
            subject=wanted.subject,
            queue=wanted.queue,
            priority=wanted.priority,
            total=len(wanted.items),
            key_hash=wanted.key_hash,
            request_hash=wanted.request_hash,
        )
        async with self._engine.begin() as connection:
            accepted = await connection.execute(row.on_conflict_do_nothing().returning(*_COLUMNS))
            new = accepted.one_or_none()
            if new is None:
                return await self._replay(connection, wanted), False
            ids = [new_job_id() for _ in wanted.items]
            arguments = list(wanted.items)
            await connection.execute(_INSERT_JOBS, {"batch_id": wanted.id, "ids": ids, "arguments": arguments})
            await put(
                connection,
                aggregate=f"batch/{wanted.id}",
                kind=OutboxKind.BATCH_ACCEPTED,
                payload={"batch_id": wanted.id},
            )
        return JobBatch.model_validate(new._mapping), True

    async def _replay(self, connection: AsyncConnection, wanted: WantedBatch) -> JobBatch:
        query = select(*_COLUMNS, job_batches.c.request_hash).where(
            job_batches.c.subject == wanted.subject, job_batches.c.key_hash == wanted.key_hash
        )
        earlier = (await connection.execute(query)).one()
        if earlier.request_hash != wanted.request_hash:
            raise KeyReused
        return JobBatch.model_validate(earlier._mapping)

    async def find(self, batch_id: str) -> JobBatch | None:
        async with self._engine.connect() as connection:
            found = (await connection.execute(select(*_COLUMNS).where(job_batches.c.id == batch_id))).one_or_none()
        return JobBatch.model_validate(found._mapping) if found is not None else None

    async def progress(self, batch_id: str, *, failures: int) -> BatchProgress:
        """How far a batch is, with at most so many of those that failed, in the order of the request."""
        counted = (
            select(STATUS, func.count(), func.max(jobs.c.finished_at).label("last"))
            .where(jobs.c.batch_id == batch_id)
            .group_by(STATUS)
        )
        failed = (
            select(jobs.c.id, jobs.c.batch_item, jobs.c.status, jobs.c.last_error)
            .where(jobs.c.batch_id == batch_id, jobs.c.status.in_(_FAILED))
            .order_by(jobs.c.batch_item)
            .limit(failures)
        )
        async with self._engine.connect() as connection:
            groups = (await connection.execute(counted)).all()
            rows = (await connection.execute(failed)).all()
        counts = {JobStatus(row.status): row.count for row in groups}
        ended = [row.last for row in groups]
        return BatchProgress(
            counts=counts,
            finished_at=max(ended) if ended and all(status.is_final for status in counts) else None,
            failed=tuple(
                FailedItem(id=row.id, item=row.batch_item, status=row.status, error=row.last_error) for row in rows
            ),
        )

    async def cancel(self, batch_id: str, act: Act | None = None) -> None:
        """End the jobs of which nothing runs, and have those that run told; repeating it changes nothing.

        The lock on the batch keeps any from being let go at the same time. An operator's `act` is entered in the audit
        log with it, unless nothing was left to be cancelled.
        """
        async with self._engine.begin() as connection:
            await connection.execute(
                update(job_batches)
                .where(job_batches.c.id == batch_id)
                .values(cancel_requested_at=func.coalesce(job_batches.c.cancel_requested_at, func.now()))
            )
            change = cancelling(jobs.c.batch_id == batch_id, jobs.c.cancel_requested_at.is_(None))
            changed = (await connection.execute(told(change.returning(*COLUMNS, jobs.c.held)))).all()
            asked = [_told(row.id, OutboxKind.JOB_CANCELLED) for row in changed if not row.held]
            if asked:
                await connection.execute(insert(outbox), asked)
            if act is not None and changed:
                ended = sum(row.finished_at is not None for row in changed)
                after = {"jobs_cancelled": ended, "jobs_told": len(changed) - ended}
                await record(connection, act, AuditAction.BATCH_CANCEL, batch_id, after=after)

    async def holding_back(self) -> Sequence[str]:
        """The batches with jobs held back, but those whose process the outbox has yet to start."""
        holds = select(jobs.c.id).where(jobs.c.batch_id == job_batches.c.id, _LIVE, jobs.c.held).exists()
        unstarted = select(outbox.c.id).where(outbox.c.aggregate == "batch/" + job_batches.c.id).exists()
        query = select(job_batches.c.id).where(job_batches.c.cancel_requested_at.is_(None), holds, ~unstarted)
        async with self._engine.connect() as connection:
            return (await connection.scalars(query.order_by(job_batches.c.id))).all()

    async def release(self, batch_id: str, window: int) -> BatchTurn:
        """Let go as many jobs as there is room for, so that `window` of them have not ended."""
        async with self._engine.begin() as connection:
            # One at a time, lest two let go a window each.
            await connection.execute(select(job_batches.c.id).where(job_batches.c.id == batch_id).with_for_update())
            of_batch = (jobs.c.batch_id == batch_id, _LIVE)
            held, live = (
                await connection.execute(
                    select(func.count().filter(jobs.c.held), func.count().filter(_LET_GO)).where(*of_batch)
                )
            ).one()
            room = max(0, window - live)
            # By themselves: within the UPDATE, the limit would hold for each time that a plan asks for them.
            first = select(jobs.c.id).where(*of_batch, jobs.c.held).order_by(jobs.c.batch_item).limit(room)
            let_go = (await connection.scalars(first.with_for_update())).all()
            if let_go:
                await connection.execute(
                    update(jobs).where(jobs.c.id.in_(let_go)).values(held=False, checked_at=func.now())
                )
                await connection.execute(insert(outbox), [_told(job_id, OutboxKind.JOB_ACCEPTED) for job_id in let_go])
        return BatchTurn(released=len(let_go), held=held - len(let_go), live=live + len(let_go))


def _told(job_id: str, kind: OutboxKind) -> dict[str, Any]:
    """The row of the outbox that has Temporal told of a job."""
    return {"aggregate": f"job/{job_id}", "kind": kind, "payload": {"job_id": job_id}}
