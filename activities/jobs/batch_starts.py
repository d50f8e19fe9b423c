"""What follows from the acceptance of a batch: the process that lets its jobs go."""

from collections.abc import Mapping

from temporalio.client import Client

from activities.outbox_relay import Handler
from activities.process_starts import start_once
from contracts import queues
from contracts.ids import batch_workflow_id
from contracts.job_batches import FollowBatch
from contracts.outbox import OutboxKind, OutboxRow


class BatchStarts:
    """Handles the outbox rows of batches. Workflow ids make a repeat harmless."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {OutboxKind.BATCH_ACCEPTED: self.accepted}

    async def accepted(self, row: OutboxRow) -> None:
        batch_id = row.payload["batch_id"]
        await start_once(
            self._client,
            "JobBatch",
            FollowBatch(batch_id=batch_id),
            batch_workflow_id(batch_id),
            task_queue=queues.BATCHES,
        )
