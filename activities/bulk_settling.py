"""Settles the bulk actions that nobody does any more: somebody ended their processes, or these failed."""

from collections.abc import Mapping

import structlog
from temporalio.client import Client, WorkflowExecutionStatus

from activities.settling import keep_settling, status_of_process
from contracts.bulk import BulkFailure, BulkRun
from contracts.ids import bulk_workflow_id
from database.bulk import BulkRepository

LOOK_EVERY_S = 2.0
# A process completes when nothing is left, and not before.
ENDS: Mapping[WorkflowExecutionStatus | None, BulkFailure] = {
    WorkflowExecutionStatus.TERMINATED: BulkFailure.PROCESS_TERMINATED,
    WorkflowExecutionStatus.FAILED: BulkFailure.PROCESS_FAILED,
    WorkflowExecutionStatus.TIMED_OUT: BulkFailure.PROCESS_TIMED_OUT,
    WorkflowExecutionStatus.CANCELED: BulkFailure.PROCESS_CANCELLED,
    None: BulkFailure.PROCESS_LOST,
}

log = structlog.get_logger()


class BulkSettler:
    """Asks Temporal about the processes of bulk actions. Every worker does; a repeat is harmless."""

    def __init__(self, client: Client, bulks: BulkRepository) -> None:
        self._client = client
        self._bulks = bulks

    async def run(self) -> None:
        """Work until cancelled."""
        await keep_settling("bulk actions", self._bulks.under_way, self._settle, every_s=LOOK_EVERY_S)

    async def _settle(self, run: BulkRun) -> None:
        status = await status_of_process(self._client, bulk_workflow_id(run.bulk_id, run.resumes))
        failure = ENDS.get(status)
        if failure is not None and await self._bulks.fail(run, failure):
            log.warning("bulk action failed, since its process is gone", bulk_id=run.bulk_id, failure=failure)
