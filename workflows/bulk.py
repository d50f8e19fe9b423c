"""The process of a bulk action: a few things at a time, no faster than was asked for."""

from asyncio import CancelledError
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from activities.bulk import BulkActivities
from contracts.bulk import BulkTurn, FollowBulk, NextOfBulk
from workflows.calls import BOOKS_RETRIES, HEARTBEAT_TIMEOUT, book

# Fifty orders, the most there are in a turn, take 50 s if none of them answers.
TURN_WITHIN = timedelta(seconds=60)
# Eleven events each: a history stays around a thousand, however many things there are.
TURNS_PER_RUN = 100


@workflow.defn(name="Bulk")
class BulkWorkflow:
    """Paces a bulk action. It knows of no thing: which there are, and what became of each, is in our books."""

    @workflow.run
    async def run(self, bulk: FollowBulk) -> None:
        for _ in range(TURNS_PER_RUN):
            began = workflow.now()
            try:
                turn = await self.do_next(bulk)
                if not turn.pending:
                    return
                workflow.set_current_details(f"{turn.pending} are left, {bulk.per_second:g} per second.")
                pause = began + timedelta(seconds=turn.tried / bulk.per_second) - workflow.now()
                if pause > timedelta(0):
                    await workflow.sleep(pause, summary="no faster than was asked for")
            except (CancelledError, ActivityError) as error:
                if not is_cancelled_exception(error):
                    raise
                # An operator's doing, in the Web UI.
                await book(BulkActivities.cancel_bulk, bulk.bulk_id, what="leave the rest")
                return
        workflow.continue_as_new(bulk)

    async def do_next(self, bulk: FollowBulk) -> BulkTurn:
        return await workflow.execute_activity_method(
            BulkActivities.do_next_of_bulk,
            NextOfBulk(bulk_id=bulk.bulk_id, limit=max(1, int(bulk.per_second))),
            start_to_close_timeout=TURN_WITHIN,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=BOOKS_RETRIES,
            summary="retry or resolve the next ones",
        )
