"""Settles the jobs that ended without a worker: Temporal gave up on them, or somebody ended them there."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from contracts.job_outcomes import outcome_of
from contracts.jobs import JobError, JobOutcome, JobStatus
from database.job_runs import JobRuns

LOOK_EVERY_S = 2.0
AT_ONCE = 100
NOT_YET = "jobs not settled yet"
RPC_TIMEOUT = timedelta(seconds=5)
# It was started, since its row left the outbox, and is forgotten: nobody looked for longer than Temporal remembers.
FORGOTTEN = JobOutcome(
    status=JobStatus.FAILED, error=JobError(code="forgotten", message="Temporal does not know this job any more.")
)

log = structlog.get_logger()


class JobSettler:
    """Asks Temporal about live jobs, each now and then. Several workers share the work."""

    def __init__(self, client: Client, runs: JobRuns) -> None:
        self._client = client
        self._runs = runs

    async def run(self) -> None:
        """Work until cancelled; outages are waited out."""
        while True:
            with going_on(NOT_YET):
                for job_id, restarts in await self._runs.unchecked(AT_ONCE):
                    with going_on(NOT_YET, job_id=job_id):
                        await self._check(job_id, restarts)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _check(self, job_id: str, restarts: int) -> None:
        handle = self._client.get_activity_handle(job_id)
        try:
            outcome = await outcome_of(await handle.describe(include_outcome=True, rpc_timeout=RPC_TIMEOUT))
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            outcome = FORGOTTEN
        if outcome is not None:
            await self._runs.settle_as_told(job_id, outcome, restarts=restarts)
            log.info("job settled by what Temporal says", job_id=job_id, status=outcome.status)


@contextmanager
def going_on(trouble: str, **about: str) -> Iterator[None]:
    """Whatever is wrong with one of them, or with all now, the others have their turn, and these another one."""
    try:
        yield
    except Exception as error:
        log.warning(trouble, error=type(error).__name__, **about)
