"""What follows from the acceptance of a bulk action: the process that does it."""

from collections.abc import Mapping

from temporalio.client import Client

from activities.outbox_relay import Handler
from activities.process_starts import start_once
from contracts import queues
from contracts.bulk import FollowBulk
from contracts.ids import bulk_workflow_id
from contracts.outbox import OutboxKind, OutboxRow


class BulkStarts:
    """Handles the outbox rows of bulk actions. Workflow ids make a repeat harmless."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {OutboxKind.BULK_ACCEPTED: self.accepted}

    async def accepted(self, row: OutboxRow) -> None:
        bulk = FollowBulk.model_validate(row.payload)
        await start_once(self._client, "Bulk", bulk, bulk_workflow_id(bulk.bulk_id), task_queue=queues.BATCHES)
