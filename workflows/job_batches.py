"""The process of a batch: jobs are let go as others end, until all have ended."""

from asyncio import CancelledError

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from activities.jobs.batches import BatchActivities
from contracts.job_batches import BatchTurn, FollowBatch
from workflows.calls import book

# A window that has moved is looked at again soon, one that stands still ever more seldom.
SHORTEST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0
# Six events each: a history stays below a thousand, however long the batch takes.
TURNS_PER_RUN = 100


@workflow.defn(name="JobBatch")
class JobBatchWorkflow:
    """Keeps a batch's window full. It knows of no job: how each one ends is in our books."""

    @workflow.run
    async def run(self, batch: FollowBatch) -> None:
        pause_s = batch.pause_s
        for _ in range(TURNS_PER_RUN):
            try:
                turn = await self.release(batch)
                if turn.is_over:
                    return
                pause_s = (
                    SHORTEST_PAUSE_S if turn.released else min(max(2 * pause_s, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
                )
                workflow.set_current_details(f"{turn.held} jobs wait to be let go, {turn.live} have not ended.")
                await workflow.sleep(pause_s, summary="until there is room for more")
            except (CancelledError, ActivityError) as error:
                if not is_cancelled_exception(error):
                    raise
                # An operator's doing, in the Web UI: it means the jobs.
                await self.cancel(batch)
        workflow.continue_as_new(FollowBatch(batch_id=batch.batch_id, pause_s=pause_s))

    async def release(self, batch: FollowBatch) -> BatchTurn:
        return await book(BatchActivities.release_batch, batch.batch_id, what="let jobs go")

    async def cancel(self, batch: FollowBatch) -> None:
        await book(BatchActivities.cancel_batch, batch.batch_id, what="cancel the jobs")
