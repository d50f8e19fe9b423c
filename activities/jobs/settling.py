"""Settles the jobs that ended without a worker: Temporal gave up on them, or somebody ended them there."""

from collections.abc import Sequence

import structlog
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.settling import RPC_TIMEOUT, keep_settling
from contracts.job_outcomes import outcome_of
from contracts.jobs import JobError, JobOutcome, JobStatus
from database.job_runs import JobRuns

LOOK_EVERY_S = 2.0
AT_ONCE = 100
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
        """Work until cancelled."""
        await keep_settling("jobs", self._unchecked, self._settle, every_s=LOOK_EVERY_S)

    async def _unchecked(self) -> Sequence[tuple[str, int]]:
        return await self._runs.unchecked(AT_ONCE)

    async def _settle(self, job: tuple[str, int]) -> None:
        job_id, restarts = job
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
