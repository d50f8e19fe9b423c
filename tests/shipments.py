"""Shipments of completed orders, followed as the orders' workflows have them followed, and every witness of them."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from sqlalchemy import delete, select, update
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.common import WorkflowIDReusePolicy

from contracts import queues
from contracts.ids import shipment_workflow_id
from contracts.inbound import InboundEvent, InboundProvider
from contracts.orders import OrderStatus
from contracts.shipments import (
    Followed,
    FollowShipment,
    ShipmentRules,
    ShipmentStatus,
    TrackedShipment,
    TrackingSource,
    TrackingStep,
)
from contracts.steps import StepName
from database import shipments as books
from database.inbound import InboundRepository
from database.shipments import ShipmentRepository
from database.tables import attention_items, inbound_events, outbox, shipment_events, shipments
from database.transaction import transaction
from tests.histories import history_of
from tests.inbound_events import Json, encoded, new_id, shipment_event
from tests.shop import POLL_S, RPC_TIMEOUT, WITHIN_S, Shop, ShopOrder
from workflows.shipments import ShipmentWorkflow

Handle = WorkflowHandle[ShipmentWorkflow, ShipmentStatus]
# Source, step, outcome, and the reason of an outcome that is not `applied`.
Told = tuple[str, str, str, str | None]


@dataclass(frozen=True)
class Parcel:
    """What the carrier has taken of a completed order."""

    order: ShopOrder
    carrier_id: str
    rules: ShipmentRules = field(default_factory=ShipmentRules)

    @classmethod
    async def handed_over(cls, shop: Shop, *, owner: str | None = None, **rules: int) -> Self:
        """The parcel of an order that this owner places now, as long as it is neither booked nor followed."""
        order = await shop.order(shipment_poll_after_s=None)
        if owner is not None:
            order = ShopOrder(shop, order.placed.model_copy(update={"customer_id": owner}))
        await order.start()
        parcel = await cls.of(order, **rules)
        async with shop.engine.begin() as connection:
            await connection.execute(delete(shipments).where(shipments.c.carrier_id == parcel.carrier_id))
        return parcel

    @classmethod
    async def of(cls, order: ShopOrder, **rules: int) -> Self:
        """The parcel of an order that was placed."""
        booked = await order.settled()
        assert booked.status is OrderStatus.COMPLETED
        ship = booked.step(StepName.SHIP, 1)
        assert ship is not None
        assert ship.reference is not None
        return cls(order, ship.reference, ShipmentRules(**rules))

    @classmethod
    async def on_its_way(cls, shop: Shop, *, owner: str | None = None, **rules: int) -> Self:
        """A parcel that is booked and followed."""
        parcel = await cls.handed_over(shop, owner=owner, **rules)
        await parcel.book()
        await parcel.follow()
        return parcel

    @property
    def shop(self) -> Shop:
        return self.order.shop

    @property
    def id(self) -> str:
        return f"{self.order.id}-1"

    @property
    def handle(self) -> Handle:
        return self.shop.client.get_workflow_handle_for(ShipmentWorkflow.run, shipment_workflow_id(self.id))

    # What its order does.

    async def book(self) -> None:
        async with transaction(self.shop.engine) as connection:
            await books.book(
                connection,
                fulfilment_id=self.id,
                order_id=self.order.id,
                carrier_id=self.carrier_id,
                at=datetime.now(UTC),
            )

    async def call_back(self) -> None:
        async with transaction(self.shop.engine) as connection:
            await books.cancel(connection, self.carrier_id, datetime.now(UTC))

    async def follow(self, client: Client | None = None, followed: Followed | None = None) -> None:
        await (client or self.shop.client).start_workflow(
            ShipmentWorkflow.run,
            FollowShipment(
                fulfilment_id=self.id,
                order_id=self.order.id,
                carrier_id=self.carrier_id,
                rules=self.rules,
                followed=followed,
            ),
            id=shipment_workflow_id(self.id),
            task_queue=queues.SHIPMENTS,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            task_timeout=timedelta(seconds=2),
            rpc_timeout=RPC_TIMEOUT,
        )

    # What its carrier does.

    async def travels(self, *steps: str, **plan: Any) -> None:
        await self.shop.ledger.travels(self.carrier_id, *steps, **plan)

    async def tells(self, step: str, event_id: str | None = None, at: datetime | None = None) -> str:
        """Have the carrier's event kept, as the API does; the worker processes it."""
        return await tell(self.shop, self.event(step, at), event_id)

    async def tells_directly(self, step: str) -> None:
        """Tell its workflow of a step that our books don't have."""
        told = TrackingStep(
            source=TrackingSource.WEBHOOK,
            event_id=new_id("evt"),
            carrier_id=self.carrier_id,
            step=step,
            occurred_at=datetime.now(UTC),
        )
        await self.handle.signal(ShipmentWorkflow.tracked, told, rpc_timeout=RPC_TIMEOUT)

    def event(self, step: str, at: datetime | None = None) -> Json:
        return shipment_event(step, carrier_id=self.carrier_id, order_id=self.order.id, reference=self.id, at=at)

    # What the witnesses say.

    async def booked(self) -> TrackedShipment:
        return (await ShipmentRepository(self.shop.engine).of_order(self.order.id))[self.id]

    async def until(self, status: ShipmentStatus) -> TrackedShipment:
        """Wait until our books have it as this."""
        async with asyncio.timeout(WITHIN_S):
            while (booked := await self.booked()).status is not status:
                await asyncio.sleep(POLL_S)
        return booked

    async def outcome(self) -> ShipmentStatus:
        """What the workflow returns."""
        async with asyncio.timeout(WITHIN_S):
            return await self.handle.result()

    async def events(self) -> list[Told]:
        """Source, step, outcome and reason of all that its carrier told, in the order it came."""
        columns = shipment_events.c
        query = (
            select(columns.source, columns.step, columns.outcome, columns.reason)
            .where(columns.carrier_id == self.carrier_id)
            .order_by(columns.received_at, columns.event_id)
        )
        async with self.shop.engine.connect() as connection:
            return [(row.source, row.step, row.outcome, row.reason) for row in await connection.execute(query)]

    async def until_decided(self, *expected: Told) -> None:
        """Wait until these, in any order, are all that its carrier told, and what was made of it."""
        found: list[Told] = []
        try:
            async with asyncio.timeout(WITHIN_S):
                while sorted(found, key=str) != sorted(expected, key=str):
                    await asyncio.sleep(POLL_S)
                    found = await self.events()
        except TimeoutError:
            raise AssertionError(f"not {sorted(expected, key=str)} but {found}") from None

    async def history(self) -> WorkflowHistory:
        return await history_of(self.shop.client, self.handle)

    async def signals(self) -> int:
        return (await self.event_types()).count("WORKFLOW_EXECUTION_SIGNALED")

    async def event_types(self) -> list[str]:
        return [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in (await self.history()).events]

    async def attention(self) -> list[tuple[str, str | None, str]]:
        """Kind, order and detail of what somebody has to look at because of it."""
        query = select(attention_items).where(attention_items.c.source == self.carrier_id)
        async with self.shop.engine.connect() as connection:
            return [(row.kind, row.order_id, row.detail) for row in await connection.execute(query)]


async def tell(shop: Shop, event: Json, event_id: str | None = None) -> str:
    """Have an event of the carrier kept, as the API does."""
    event_id = event_id or new_id("evt")
    kept = InboundEvent(provider=InboundProvider.CARRIER, id=event_id, type=event["type"], body=encoded(event).decode())
    await InboundRepository(shop.engine).keep(kept)
    return event_id


async def is_processed(shop: Shop, event_id: str) -> bool:
    query = select(inbound_events.c.processed_at).where(inbound_events.c.event_id == event_id)
    async with shop.engine.connect() as connection:
        return await connection.scalar(query) is not None


async def until_processed(shop: Shop, event_id: str) -> None:
    """Wait until nothing more follows from this event."""
    async with asyncio.timeout(WITHIN_S):
        while not await is_processed(shop, event_id):
            await asyncio.sleep(POLL_S)


async def waits_in_outbox(shop: Shop, event_id: str) -> bool:
    query = select(outbox.c.id).where(outbox.c.aggregate == f"inbound/carrier/{event_id}")
    async with shop.engine.connect() as connection:
        return await connection.scalar(query) is not None


async def grow_old(shop: Shop, event_id: str) -> None:
    """Have an event be one that came long ago, for those who ask how long they should wait for its shipment."""
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    received = update(shipment_events).where(shipment_events.c.event_id == event_id).values(received_at=long_ago)
    handed_over = update(outbox).where(outbox.c.aggregate == f"inbound/carrier/{event_id}").values(created_at=long_ago)
    async with asyncio.timeout(WITHIN_S):
        # It is kept by the relay, soon.
        while True:
            async with shop.engine.begin() as connection:
                await connection.execute(handed_over)
                if (await connection.execute(received)).rowcount:
                    return
            await asyncio.sleep(POLL_S)
