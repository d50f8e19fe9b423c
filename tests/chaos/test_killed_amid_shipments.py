"""Workers are killed while shipments move: whatever was told arrives, each step counts once, and nothing is lost."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from contracts.shipments import ShipmentStatus
from database.tables import outbox, shipments, webhook_deliveries
from database.webhook_endpoints import EndpointRepository
from providers.webhook_signing import new_secret
from tests.chaos.workers import Workers
from tests.shipments import Parcel
from tests.shop import POLL_S, Shop, open_shop
from tests.stack_session import RunningStack, status

PARCELS = 40
WITHIN_S = 60.0
TOLD = ("shipment.dispatched", "shipment.delivered")
# An address that no webhook is sent to: what counts here is how many were to be.
NOWHERE = "http://127.0.0.1:8099/"
DISPATCHED, DELIVERED = ShipmentStatus.DISPATCHED, ShipmentStatus.DELIVERED


@pytest.fixture
async def seller(home: Path) -> AsyncIterator[Shop]:
    async with open_shop(RunningStack.of(home, status(home))) as opened:
        yield opened


async def until_as_many(seller: Shop, parcels: list[Parcel], count: int, reached: ShipmentStatus) -> None:
    """Wait until our books have so many of the parcels as this."""
    query = select(func.count()).where(
        shipments.c.carrier_id.in_([parcel.carrier_id for parcel in parcels]), shipments.c.status == reached
    )
    async with asyncio.timeout(WITHIN_S):
        while True:
            async with seller.engine.connect() as connection:
                if int(await connection.scalar(query) or 0) >= count:
                    return
            await asyncio.sleep(POLL_S)


async def test_every_step_arrives_once_however_often_workers_die(seller: Shop, workers: Workers) -> None:
    endpoints, owner = EndpointRepository(seller.engine), f"owner-{uuid4().hex}"
    endpoint = await endpoints.create(owner=owner, url=NOWHERE, event_types=TOLD, description=None, secret=new_secret())
    worker = await workers.start()
    parcels = list(await asyncio.gather(*(Parcel.handed_over(seller, owner=owner) for _ in range(PARCELS))))
    await worker.kill()

    # Nobody works, and the carrier tells: of half of them before our books have them, each twice and out of order.
    early, later = parcels[: PARCELS // 2], parcels[PARCELS // 2 :]
    await asyncio.gather(*(parcel.book() for parcel in later), *(parcel.follow() for parcel in later))
    await asyncio.gather(*(parcel.travels("dispatched", "dispatched") for parcel in parcels))
    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(*(seller.ledger.until_told(parcel.order.id, 2) for parcel in parcels))

    worker = await workers.start()
    await until_as_many(seller, later, 1, DISPATCHED)
    await worker.kill()
    # Between the booking of a shipment and the start of its workflow there may be no worker either.
    await asyncio.gather(*(parcel.book() for parcel in early))
    await asyncio.gather(*(parcel.follow() for parcel in early))

    worker = await workers.start()
    await asyncio.gather(*(parcel.travels("delivered", "dispatched", "delivered") for parcel in parcels))
    await until_as_many(seller, parcels, 1, DELIVERED)
    await worker.kill()

    await workers.start()
    assert await asyncio.gather(*(parcel.outcome() for parcel in parcels)) == [DELIVERED] * PARCELS
    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(*(seller.ledger.until_told(parcel.order.id, 5) for parcel in parcels))
        while await waiting(seller):
            await asyncio.sleep(POLL_S)
    for parcel in parcels:
        events = await parcel.events()
        outcomes = Counter((step, outcome) for _, step, outcome, _ in events)
        assert len(events) == 5, events
        assert outcomes["dispatched", "applied"] == outcomes["delivered", "applied"] == 1, events
        assert not [event for event in events if event[2] == "kept"], events
        assert await parcel.attention() == []
    assert await deliveries(seller, endpoint.id) == dict.fromkeys(TOLD, PARCELS)
    await endpoints.delete(endpoint.id)


async def deliveries(seller: Shop, endpoint_id: str) -> dict[str, int]:
    """How many messages the endpoint was to get, by type."""
    columns = webhook_deliveries.c
    query = (
        select(columns.event_type, func.count()).where(columns.endpoint_id == endpoint_id).group_by(columns.event_type)
    )
    async with seller.engine.connect() as connection:
        return {event_type: int(count) for event_type, count in await connection.execute(query)}


async def waiting(seller: Shop) -> int:
    """How much the relay has not done yet."""
    async with seller.engine.connect() as connection:
        return int(await connection.scalar(select(func.count()).select_from(outbox)) or 0)
