"""Every shape that the history of a bulk action can take, but for further turns, which are all alike."""

import asyncio
from dataclasses import dataclass
from uuid import uuid4

from temporalio.client import WorkflowHandle, WorkflowHistory

from contracts.audit import Act
from contracts.bulk import BulkAction, BulkOutcome
from contracts.dead_letters import DeadLetterFilter
from contracts.ids import bulk_workflow_id, new_bulk_id
from database.bulk import BulkRepository, WantedBulk
from tests.bulk import dead_endpoints
from tests.histories import history_of
from tests.shop import POLL_S, WITHIN_S, Shop
from workflows.bulk import BulkWorkflow


@dataclass(frozen=True)
class ShopBulk:
    """A retry of disabled endpoints; the API is not needed for it."""

    shop: Shop
    id: str

    @classmethod
    async def accepted(cls, shop: Shop, count: int, *, per_second: float) -> "ShopBulk":
        endpoints = await dead_endpoints(shop, count)
        bulk, _ = await BulkRepository(shop.engine).accept(
            WantedBulk(
                id=new_bulk_id(),
                action=BulkAction.RETRY,
                filter=DeadLetterFilter(subject=endpoints[0].owner),
                resolve_as=None,
                per_second=per_second,
                expected=count,
                limit=count,
                act=Act(actor="olga"),
                key_hash=uuid4().hex,
                request_hash="",
            )
        )
        return cls(shop, bulk.id)

    @property
    def handle(self) -> WorkflowHandle[BulkWorkflow, None]:
        return self.shop.client.get_workflow_handle_for(BulkWorkflow.run, bulk_workflow_id(self.id))

    async def until_done(self, count: int) -> None:
        repository = BulkRepository(self.shop.engine)
        async with asyncio.timeout(WITHIN_S):
            while (await repository.progress(self.id, shown=0)).counts.get(BulkOutcome.DONE, 0) < count:
                await asyncio.sleep(POLL_S)

    async def outcome(self) -> None:
        async with asyncio.timeout(WITHIN_S):
            await self.handle.result()

    async def history(self) -> WorkflowHistory:
        return await history_of(self.shop.client, self.handle)


async def bulk_of_two_turns(shop: Shop) -> ShopBulk:
    bulk = await ShopBulk.accepted(shop, 2, per_second=1)
    await bulk.until_done(2)
    return bulk


async def bulk_cancelled_by_button(shop: Shop) -> ShopBulk:
    """Between its first turn and its second, for which there is a while."""
    bulk = await ShopBulk.accepted(shop, 2, per_second=0.1)
    await bulk.until_done(1)
    async with asyncio.timeout(WITHIN_S):
        while len((await bulk.history()).events) < 11:  # its timer has been started
            await asyncio.sleep(POLL_S)
    await bulk.handle.cancel()
    return bulk
