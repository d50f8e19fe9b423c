"""Cancels the batches that nobody lets go of any more: somebody ended their processes."""

import asyncio

import structlog
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.jobs.settling import RPC_TIMEOUT, going_on
from contracts.ids import batch_workflow_id
from database.job_batches import BatchRepository

LOOK_EVERY_S = 10.0
NOT_YET = "batches not looked after"
# A process completes when it has let all jobs go, and not before.
AT_WORK = (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED)

log = structlog.get_logger()


class BatchSettler:
    """Asks Temporal about the processes of batches that hold jobs back. Every worker does; a repeat is harmless."""

    def __init__(self, client: Client, batches: BatchRepository) -> None:
        self._client = client
        self._batches = batches

    async def run(self) -> None:
        """Work until cancelled; outages are waited out."""
        while True:
            with going_on(NOT_YET):
                for batch_id in await self._batches.holding_back():
                    with going_on(NOT_YET, batch_id=batch_id):
                        await self._check(batch_id)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _check(self, batch_id: str) -> None:
        handle = self._client.get_workflow_handle(batch_workflow_id(batch_id))
        try:
            status = (await handle.describe(rpc_timeout=RPC_TIMEOUT)).status
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            status = None
        if status not in AT_WORK:
            await self._batches.cancel(batch_id)
            log.warning("batch cancelled, since its process is gone", batch_id=batch_id, status=status and status.name)
