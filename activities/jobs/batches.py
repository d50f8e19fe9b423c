"""What the processes of batches do: jobs are let go, and a batch is cancelled from Temporal's side."""

from typing import TYPE_CHECKING

from temporalio import activity

from contracts.job_batches import WINDOW, BatchTurn

# Workflows import this module for its signatures; what it needs to run stays out of them.
if TYPE_CHECKING:
    from database.job_batches import BatchRepository


class BatchActivities:
    """Lets go the jobs of batches; each is started from the outbox then, as any job."""

    def __init__(self, batches: "BatchRepository") -> None:
        self.batches = batches

    @activity.defn
    async def release_batch(self, batch_id: str) -> BatchTurn:
        """Let go as many as there is room for; what an attempt before had let go takes up room."""
        return await self.batches.release(batch_id, WINDOW)

    @activity.defn
    async def cancel_batch(self, batch_id: str) -> None:
        await self.batches.cancel(batch_id)
