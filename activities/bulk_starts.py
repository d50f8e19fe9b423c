"""What follows when a bulk action is accepted or resumed: the process that does it."""

from collections.abc import Mapping

from temporalio.client import Client

from activities.outbox_relay import Handler
from activities.process_starts import start_once
from contracts import queues
from contracts.bulk import BulkRun, FollowBulk
from contracts.ids import bulk_workflow_id
from contracts.outbox import OutboxKind, OutboxRow


class BulkStarts:
    """Handles the outbox rows of bulk actions. Workflow ids make a repeat harmless."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {OutboxKind.BULK_ACCEPTED: self.start, OutboxKind.BULK_RESUMED: self.start}

    async def start(self, row: OutboxRow) -> None:
        bulk, run = FollowBulk.model_validate(row.payload), BulkRun.model_validate(row.payload)
        workflow_id = bulk_workflow_id(run.bulk_id, run.resumes)
        await start_once(self._client, "Bulk", bulk, workflow_id, task_queue=queues.BATCHES)
