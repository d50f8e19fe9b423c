"""Every shape that the history of a batch can take, but for further turns, which are all alike."""

import asyncio
from dataclasses import dataclass
from uuid import uuid4

from temporalio.client import WorkflowHandle, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

from contracts import queues
from contracts.ids import batch_workflow_id, new_batch_id
from contracts.job_types.diagnostics import ECHO, EchoArguments
from database.job_batches import BatchRepository, WantedBatch
from tests.histories import history_of
from tests.shop import POLL_S, RPC_TIMEOUT, WITHIN_S, Shop
from workflows.job_batches import JobBatchWorkflow


@dataclass(frozen=True)
class ShopBatch:
    """A batch of echoes; the API is not needed for it."""

    shop: Shop
    id: str

    @classmethod
    async def accepted(cls, shop: Shop, count: int, queue: str = queues.JOBS_BULK) -> "ShopBatch":
        item = EchoArguments(message="hello").model_dump_json()
        batch, _ = await BatchRepository(shop.engine).accept(
            WantedBatch(
                id=new_batch_id(),
                type=ECHO.name,
                subject=f"owner-{uuid4().hex}",
                queue=queue,
                priority=3,
                items=[item] * count,
                key_hash=uuid4().hex,
                request_hash="",
            )
        )
        begun = cls(shop, batch.id)
        async with asyncio.timeout(WITHIN_S):
            while not await begun._exists():
                await asyncio.sleep(POLL_S)
        return begun

    @property
    def handle(self) -> WorkflowHandle[JobBatchWorkflow, None]:
        return self.shop.client.get_workflow_handle_for(JobBatchWorkflow.run, batch_workflow_id(self.id))

    async def outcome(self) -> None:
        async with asyncio.timeout(WITHIN_S):
            await self.handle.result()

    async def history(self) -> WorkflowHistory:
        return await history_of(self.shop.client, self.handle)

    async def _exists(self) -> bool:
        try:
            await self.handle.describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return True


async def batch_of_one_window(shop: Shop) -> ShopBatch:
    """Let go in its first turn, and over by the second."""
    return await ShopBatch.accepted(shop, 3)


async def batch_cancelled_by_button(shop: Shop) -> ShopBatch:
    batch = await ShopBatch.accepted(shop, 3, queue=f"of-nobody-{uuid4().hex}")
    async with asyncio.timeout(WITHIN_S):
        while len((await batch.history()).events) < 6:  # its first turn is over
            await asyncio.sleep(POLL_S)
    await batch.handle.cancel()
    return batch
