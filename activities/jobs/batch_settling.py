"""Cancels the batches that nobody lets go of any more: somebody ended their processes."""

import structlog
from temporalio.client import Client, WorkflowExecutionStatus

from activities.settling import keep_settling, status_of_process
from contracts.ids import batch_workflow_id
from database.job_batches import BatchRepository

LOOK_EVERY_S = 10.0
# A process completes when it has let all jobs go, and not before.
AT_WORK = (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED)

log = structlog.get_logger()


class BatchSettler:
    """Asks Temporal about the processes of batches that hold jobs back. Every worker does; a repeat is harmless."""

    def __init__(self, client: Client, batches: BatchRepository) -> None:
        self._client = client
        self._batches = batches

    async def run(self) -> None:
        """Work until cancelled."""
        await keep_settling("batches", self._batches.holding_back, self._settle, every_s=LOOK_EVERY_S)

    async def _settle(self, batch_id: str) -> None:
        status = await status_of_process(self._client, batch_workflow_id(batch_id))
        if status not in AT_WORK:
            await self._batches.cancel(batch_id)
            log.warning("batch cancelled, since its process is gone", batch_id=batch_id, status=status and status.name)
