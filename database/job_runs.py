"""What the attempts of jobs write down, and what is settled by what Temporal says. docs/decisions/jobs-status.md"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, case, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.jobs import Job, JobError, JobOutcome, JobProgress, JobStatus
from contracts.outbox import OutboxKind
from database.job_events import told
from database.jobs import COLUMNS, JobRepository, NewJob, job_of
from database.outbox import put
from database.tables import jobs, outbox

# A job can end without its worker while it runs, and while it seems not to: when its worker is lost between the
# beginning of an attempt and our hearing of it. What waits can but be terminated by hand.
_check_every_s = case((jobs.c.status == JobStatus.RUNNING, 5), (jobs.c.status == JobStatus.RETRYING, 15), else_=600)


# Delays are counted by other clocks than that of Postgres.
EARLY_BY_S = 1.0
_is_early = and_(
    jobs.c.status == JobStatus.SCHEDULED,
    jobs.c.run_at > func.now() + func.make_interval(0, 0, 0, 0, 0, 0, EARLY_BY_S),
)


class JobRuns:
    """Keeps the rows of jobs in step with their attempts. What is final stays as it is."""

    def __init__(self, engine: AsyncEngine) -> None:
        # Single statements need no transaction around them.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._transactions = engine
        self._jobs = JobRepository(engine)

    async def find(self, job_id: str) -> Job | None:
        return await self._jobs.find(job_id)

    async def enqueue(self, job: NewJob) -> None:
        """Accept a job that follows another one, unless it was accepted before."""
        await self._jobs.enqueue(job)

    async def begin(self, job_id: str, attempt: int, run_id: str | None = None) -> Job | None:
        """Begin an attempt of an activity's run, and return the job as it then is; None when there is no such job.

        `attempt` is Temporal's number, the job's own one goes on where that of an earlier start ended. It has not begun
        when the job is over, is to be cancelled, or is in a later attempt already. Nor has it when the job is
        `scheduled` for later, which Temporal had not heard of in time: the outbox has it started anew then.
        """
        number = jobs.c.earlier_attempts + attempt
        while True:
            begun = await self._change(
                job_id,
                jobs.c.attempt <= number,
                jobs.c.cancel_requested_at.is_(None),
                ~_is_early,
                status=JobStatus.RUNNING,
                attempt=number,
                started_at=func.coalesce(jobs.c.started_at, func.now()),
                checked_at=func.now(),
            )
            job = begun or await self._put_off(job_id, run_id) or await self.find(job_id)
            if job is None or job.status is not JobStatus.QUEUED:
                return job
            # It was rescheduled once more meanwhile, and is due.

    async def _put_off(self, job_id: str, run_id: str | None) -> Job | None:
        """Have a job that an activity's run began too early started anew, once that has ended; None when it was not."""
        early = select(*COLUMNS).where(jobs.c.id == job_id, _is_early).with_for_update()
        told_of = select(outbox.c.id).where(
            outbox.c.aggregate == f"job/{job_id}",
            outbox.c.kind == OutboxKind.JOB_PUT_OFF,
            outbox.c.payload["run_id"].astext == run_id,
        )
        async with self._transactions.begin() as connection:
            job = (await connection.execute(early)).one_or_none()
            if job is None:
                return None
            # The attempt before this one may have been lost right here.
            if await connection.scalar(told_of) is None:
                restart = update(jobs).where(jobs.c.id == job_id).values(restarts=jobs.c.restarts + 1)
                await connection.execute(restart)
                payload = {"job_id": job_id, "run_id": run_id}
                await put(connection, aggregate=f"job/{job_id}", kind=OutboxKind.JOB_PUT_OFF, payload=payload)
        return job_of(job)

    async def will_retry(self, job_id: str, attempt: int, error: JobError) -> None:
        """Note why this attempt failed; there will be another one."""
        await self._change(
            job_id,
            jobs.c.attempt == attempt,
            jobs.c.earlier_attempts < attempt,
            status=JobStatus.RETRYING,
            last_error=error.model_dump(),
            checked_at=func.now(),
        )

    async def settle(
        self, job_id: str, outcome: JobOutcome, *, attempt: int, progress: JobProgress | None = None
    ) -> Job | None:
        """Write down how a job ended, unless that is known already. Returns the job as it then is.

        An attempt that was given up on, and that another one or a restart followed, settles nothing any more.
        """
        changes = _ended(outcome)
        if progress is not None:
            changes["progress"] = progress.model_dump()
        latest = (jobs.c.attempt <= attempt, jobs.c.earlier_attempts < attempt)
        return await self._change(job_id, *latest, **changes) or await self.find(job_id)

    async def settle_as_told(self, job_id: str, outcome: JobOutcome, *, restarts: int) -> Job | None:
        """Write down how Temporal says that a job ended, as `settle` does, unless it was restarted since.

        `restarts` is their number when Temporal was asked. The last attempt may have been lost before it was booked.
        """
        ended = _ended(outcome)
        if outcome.attempt is not None:
            ended["attempt"] = func.greatest(jobs.c.attempt, jobs.c.earlier_attempts + outcome.attempt)
        return await self._change(job_id, jobs.c.restarts == restarts, **ended) or await self.find(job_id)

    async def is_to_be_started(self, job_id: str) -> bool:
        """Whether Temporal is yet to hear of the job, or of what was asked of it last."""
        waiting = select(select(outbox.c.id).where(outbox.c.aggregate == f"job/{job_id}").exists())
        async with self._engine.connect() as connection:
            return bool(await connection.scalar(waiting))

    async def unchecked(self, limit: int) -> Sequence[tuple[str, int]]:
        """Live jobs that Temporal has to be asked about, with their restarts; they are left alone for a while then.

        Those with a row in the outbox may not be known there yet.
        """

        due = (
            select(jobs.c.id)
            .where(jobs.c.finished_at.is_(None), ~jobs.c.held)
            .where(jobs.c.checked_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, _check_every_s))
            .where(~select(outbox.c.id).where(outbox.c.aggregate == "job/" + jobs.c.id).exists())
            .order_by(jobs.c.checked_at)
            .limit(limit)
            .with_for_update(skip_locked=True, of=jobs)
        )
        claim = update(jobs).where(jobs.c.id.in_(due)).values(checked_at=func.now())
        async with self._engine.connect() as connection:
            claimed = await connection.execute(claim.returning(jobs.c.id, jobs.c.restarts))
            return [(row.id, row.restarts) for row in claimed]

    async def _change(self, job_id: str, *conditions: Any, **values: Any) -> Job | None:
        """Change a live job that meets the conditions; None when there is none."""
        change = update(jobs).where(jobs.c.id == job_id, jobs.c.finished_at.is_(None), *conditions).values(**values)
        async with self._engine.connect() as connection:
            changed = (await connection.execute(told(change.returning(*COLUMNS)))).one_or_none()
        return job_of(changed) if changed is not None else None


def _ended(outcome: JobOutcome) -> dict[str, Any]:
    ended: dict[str, Any] = {"status": outcome.status, "result": outcome.result, "finished_at": func.now()}
    if outcome.error is not None:
        ended["last_error"] = outcome.error.model_dump()
    return ended
