"""What the processes of bulk actions do: the next few things are retried or resolved."""

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity
from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from contracts.bulk import Bulk, BulkAction, BulkItem, BulkTurn, NextOfBulk
from contracts.dead_letters import DeadLetterKind
from contracts.errors import ErrorCode
from contracts.ids import order_workflow_id
from contracts.operators import OperatorWord, ResolveOrder, RetryOrder

# Workflows import this module for its signatures; what it needs to run stays out of them.
if TYPE_CHECKING:
    from database.bulk import BulkRepository

UPDATE_WITHIN = timedelta(seconds=5)
AT_ONCE = 5
# The update was dropped with its workflow task, or nobody took it up in time.
_NO_ANSWER = (RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)


class BulkActivities:
    """Does bulk actions, a few things at a time. What an attempt has done, the next one finds settled."""

    def __init__(self, bulks: "BulkRepository", client: Client) -> None:
        self.bulks = bulks
        self.client = client

    @activity.defn
    async def do_next_of_bulk(self, wanted: NextOfBulk) -> BulkTurn:
        """Do so many of those that are left."""
        bulk = await self.bulks.find(wanted.bulk_id)
        if bulk is None:
            raise ApplicationError("there is no such bulk action", type=ErrorCode.NOT_FOUND, non_retryable=True)
        items = await self.bulks.next(bulk.id, wanted.limit)
        few = asyncio.Semaphore(AT_ONCE)

        async def do(item: BulkItem) -> None:
            async with few:
                if item.kind is DeadLetterKind.ORDER:
                    await self._tell_order(bulk, item)
                else:
                    await self.bulks.retry(item, bulk.act)

        await asyncio.gather(*map(do, items))
        return await self.bulks.turn(bulk.id, len(items))

    @activity.defn
    async def cancel_bulk(self, bulk_id: str) -> None:
        """Leave what has not been done."""
        await self.bulks.cancel(bulk_id, None)

    async def _tell_order(self, bulk: Bulk, item: BulkItem) -> None:
        """Have the order's workflow do it, which enters it in the audit log with its booking.

        The update's id makes a repeat harmless: the workflow answers it as it did the first time.
        """
        word: OperatorWord = RetryOrder.of(bulk.act)
        if bulk.action is BulkAction.RESOLVE:
            word = ResolveOrder.of(bulk.act, status=bulk.resolve_as)
        handle = self.client.get_workflow_handle(order_workflow_id(item.subject))
        refusal: str | None = None
        try:
            # The SDK waits so long twice: for the update to be taken up, and for its answer.
            async with asyncio.timeout(UPDATE_WITHIN.total_seconds()):
                await handle.execute_update(
                    bulk.action.value, word, id=f"{bulk.id}-{item.number}", rpc_timeout=UPDATE_WITHIN
                )
        except WorkflowUpdateFailedError as error:
            refusal = ErrorCode.NOT_PARKED
            if isinstance(error.cause, ApplicationError) and error.cause.type:
                refusal = error.cause.type
        except WorkflowUpdateRPCTimeoutOrCancelledError:
            _raise_if_cancelled()
            await self.bulks.not_answered(bulk, item)
            return
        except RPCError as error:
            if error.status in _NO_ANSWER:
                await self.bulks.not_answered(bulk, item)
                return
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            refusal = ErrorCode.NOT_PARKED
        await self.bulks.settle_order(bulk, item, refusal)


def _raise_if_cancelled() -> None:
    """Go on being cancelled, by an operator or by a worker that stops: the SDK shows that as an order's silence."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
