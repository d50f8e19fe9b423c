"""What following a shipment costs and shows, and how our books decide when several decide at once."""

import asyncio

from temporalio.api.sdk.v1 import WorkflowMetadata

from contracts.shipments import ShipmentStatus
from database.shipments import ShipmentRepository
from tests.endpoints import ShopEndpoint
from tests.shipments import Parcel
from tests.shop import POLL_S, RPC_TIMEOUT, WITHIN_S, Shop
from tests.webhooks import hook

WAITS = ["WORKFLOW_EXECUTION_STARTED", "WORKFLOW_TASK_SCHEDULED", "WORKFLOW_TASK_STARTED", "WORKFLOW_TASK_COMPLETED"]


async def test_a_shipment_costs_one_workflow_task_and_a_timer(shop: Shop) -> None:
    parcel = await Parcel.on_its_way(shop)

    async with asyncio.timeout(WITHIN_S):
        while len(types := await parcel.event_types()) < len(WAITS) + 1:
            await asyncio.sleep(POLL_S)

    assert types == [*WAITS, "TIMER_STARTED"]


async def test_the_current_details_say_where_it_is_and_when_the_carrier_is_asked(shop: Shop) -> None:
    parcel = await Parcel.on_its_way(shop)
    await parcel.tells("dispatched")
    await parcel.until(ShipmentStatus.DISPATCHED)
    async with asyncio.timeout(WITHIN_S):
        while await parcel.handle.query("view") != ShipmentStatus.DISPATCHED:
            await asyncio.sleep(POLL_S)

    metadata: WorkflowMetadata = await parcel.handle.query(
        "__temporal_workflow_metadata", result_type=WorkflowMetadata, rpc_timeout=RPC_TIMEOUT
    )

    assert metadata.current_details.startswith("**dispatched** since 20")
    assert "The carrier is asked at 20" in metadata.current_details


async def test_many_who_decide_at_once_decide_once(shop: Shop) -> None:
    async with hook() as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop, "shipment.dispatched", "shipment.delivered")
        parcel = await Parcel.on_its_way(shop, owner=endpoint.owner)
        repository = ShipmentRepository(shop.engine)

        for step in ("delivered", "dispatched", "delivered", "dispatched"):
            await parcel.tells(step)
        await asyncio.gather(*(repository.settle(parcel.carrier_id) for _ in range(20)))

        assert await parcel.outcome() is ShipmentStatus.DELIVERED
        async with asyncio.timeout(WITHIN_S):
            while any(outcome == "kept" for _, _, outcome, _ in await parcel.events()):
                await asyncio.sleep(POLL_S)
        outcomes = [outcome for _, _, outcome, _ in await parcel.events()]
        assert len(outcomes) == 4
        assert outcomes.count("applied") == 2
        await receiver.until_got(2)


async def test_nobody_is_told_of_a_shipment_when_nobody_listens(shop: Shop) -> None:
    async with hook() as others:
        anothers = await ShopEndpoint.at(others, shop)
        parcel = await Parcel.on_its_way(shop, owner="customer-without-endpoints")

        await parcel.travels("dispatched", "delivered")

        assert await parcel.outcome() is ShipmentStatus.DELIVERED
        await (await anothers.send()).settled()
        assert [message.verified(anothers.secret)["type"] for message in others.messages] == ["webhook.test"]
