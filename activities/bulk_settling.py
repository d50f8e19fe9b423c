"""Settles the bulk actions that nobody does any more: somebody ended their processes, or these failed."""

import asyncio
from collections.abc import Mapping

import structlog
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.jobs.settling import RPC_TIMEOUT, going_on
from contracts.bulk import BulkFailure, BulkRun
from contracts.ids import bulk_workflow_id
from database.bulk import BulkRepository

LOOK_EVERY_S = 2.0
NOT_YET = "bulk actions not looked after"
# A process completes when nothing is left, and not before.
ENDS: Mapping[WorkflowExecutionStatus | None, BulkFailure] = {
    WorkflowExecutionStatus.TERMINATED: BulkFailure.PROCESS_TERMINATED,
    WorkflowExecutionStatus.FAILED: BulkFailure.PROCESS_FAILED,
    WorkflowExecutionStatus.TIMED_OUT: BulkFailure.PROCESS_TIMED_OUT,
    WorkflowExecutionStatus.CANCELED: BulkFailure.PROCESS_CANCELLED,
}

log = structlog.get_logger()


class BulkSettler:
    """Asks Temporal about the processes of bulk actions. Every worker does; a repeat is harmless."""

    def __init__(self, client: Client, bulks: BulkRepository) -> None:
        self._client = client
        self._bulks = bulks

    async def run(self) -> None:
        """Work until cancelled; outages are waited out."""
        while True:
            with going_on(NOT_YET):
                for run in await self._bulks.under_way():
                    with going_on(NOT_YET, bulk_id=run.bulk_id):
                        await self._check(run)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _check(self, run: BulkRun) -> None:
        failure = await self._end_of(run)
        if failure is not None and await self._bulks.fail(run, failure):
            log.warning("bulk action failed, since its process is gone", bulk_id=run.bulk_id, failure=failure)

    async def _end_of(self, run: BulkRun) -> BulkFailure | None:
        handle = self._client.get_workflow_handle(bulk_workflow_id(run.bulk_id, run.resumes))
        try:
            return ENDS.get((await handle.describe(rpc_timeout=RPC_TIMEOUT)).status)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return BulkFailure.PROCESS_LOST
