"""Owners of webhook endpoints, and every witness of what is delivered to them but the receivers themselves."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import uuid4

from sqlalchemy import update
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle, WorkflowHistory
from temporalio.testing import TimeSkipper

from contracts import queues
from contracts.ids import delivery_workflow_id
from contracts.webhooks import (
    Deliver,
    DeliveryStatus,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
    WebhookEventType,
)
from database.tables import webhook_endpoints
from database.webhook_attempts import Answered
from database.webhook_deliveries import DeliveryRepository
from database.webhook_endpoints import EndpointRepository
from providers.webhook_signing import new_secret
from tests.histories import history_of
from tests.shop import POLL_S, RPC_TIMEOUT, WITHIN_S, Shop
from tests.webhooks import Hook
from workflows.delivery import DeliveryWorkflow

AGES = timedelta(days=30)


@dataclass(frozen=True)
class OneDelivery:
    """A delivery from its row on."""

    endpoint: "ShopEndpoint"
    id: str

    @property
    def handle(self) -> WorkflowHandle[DeliveryWorkflow, DeliveryStatus]:
        client = self.endpoint.shop.client
        return client.get_workflow_handle_for(DeliveryWorkflow.run, delivery_workflow_id(self.id))

    async def listed(self) -> WebhookDelivery:
        """What its owner sees of it."""
        deliveries = await self.endpoint.deliveries.list(self.endpoint.id, after=None, limit=100)
        [found] = [delivery for delivery in deliveries if delivery.id == self.id]
        return found

    async def attempted(self, times: int = 1) -> WebhookDelivery:
        """Wait until so many attempts are recorded."""
        async with asyncio.timeout(WITHIN_S):
            while (found := await self.listed()).attempts < times:
                await asyncio.sleep(POLL_S)
        return found

    async def pausing(self) -> None:
        """Wait until its workflow waits for the time of a further attempt."""
        await self.attempted()
        async with asyncio.timeout(WITHIN_S):
            while not await self.pauses_s():
                await asyncio.sleep(POLL_S)

    async def settled(self) -> WebhookDelivery:
        """Wait until there is nothing more to attempt."""
        async with asyncio.timeout(WITHIN_S):
            while (found := await self.listed()).status is DeliveryStatus.PENDING:
                await asyncio.sleep(POLL_S)
        return found

    async def skipped_to_its_end(self) -> WebhookDelivery:
        """Skip all pauses of its schedule, however long."""
        await self.attempted()
        async with asyncio.timeout(WITHIN_S):
            await TimeSkipper(self.endpoint.shop.client).fast_forward(self.handle, AGES)
        await self.outcome()
        return await self.listed()

    async def outcome(self) -> DeliveryStatus:
        """What the workflow returns."""
        async with asyncio.timeout(WITHIN_S):
            return await self.handle.result()

    async def history(self) -> WorkflowHistory:
        return await history_of(self.endpoint.shop.client, self.handle)

    async def pauses_s(self) -> list[float]:
        """The pauses between its attempts, in seconds."""
        return [
            event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta().total_seconds()
            for event in (await self.history()).events
            if event.event_type == EventType.EVENT_TYPE_TIMER_STARTED
        ]


@dataclass(frozen=True)
class ShopEndpoint:
    """An endpoint at a receiver of ours; the API is not needed for it."""

    shop: Shop
    id: str
    owner: str | None
    secret: str

    @classmethod
    async def at(
        cls, receiver: Hook, shop: Shop, *event_types: str, owner: str | None = None, of_system: bool = False
    ) -> Self:
        """An endpoint that asks for these events, of an owner that has no other unless told."""
        secret = new_secret()
        owner = None if of_system else owner or f"owner-{uuid4().hex}"
        endpoint = await EndpointRepository(shop.engine).create(
            owner=owner, url=receiver.url(), event_types=event_types or ("*",), description=None, secret=secret
        )
        return cls(shop, endpoint.id, owner, secret)

    @property
    def repository(self) -> EndpointRepository:
        return EndpointRepository(self.shop.engine)

    @property
    def deliveries(self) -> DeliveryRepository:
        return DeliveryRepository(self.shop.engine)

    async def found(self) -> WebhookEndpoint:
        endpoint = await self.repository.find(self.id)
        assert endpoint is not None
        return endpoint

    async def send(self) -> OneDelivery:
        """Have a test event delivered, as the API does."""
        delivery = await self.deliveries.send(self.id, self.event())
        assert delivery is not None
        return OneDelivery(self, delivery.id)

    async def begin(self) -> OneDelivery:
        """A delivery that nobody has started yet."""
        event = self.event()
        [begun] = await self.deliveries.fan_out(event, f"test/{uuid4()}")
        return OneDelivery(self, begun.id)

    async def start(self, delivery: OneDelivery) -> None:
        await self.shop.client.start_workflow(
            DeliveryWorkflow.run,
            Deliver(delivery_id=delivery.id),
            id=delivery_workflow_id(delivery.id),
            task_queue=queues.WEBHOOKS,
            rpc_timeout=RPC_TIMEOUT,
        )

    def event(self) -> WebhookEvent:
        return WebhookEvent(
            type=WebhookEventType.TEST, id=self.id, status="active", at=datetime.now(UTC), owner=self.owner
        )

    async def alter(self, **columns: Any) -> None:
        """Write into its row what the API would not."""
        async with self.shop.engine.begin() as connection:
            await connection.execute(
                update(webhook_endpoints).where(webhook_endpoints.c.id == self.id).values(**columns)
            )

    async def delete(self) -> None:
        await self.repository.delete(self.id)


def failed(receiver: Hook) -> Answered:
    """What an attempt brought at a receiver that answered 500."""
    return Answered(url=receiver.url(), succeeded=False, gone=False, response_status=500, duration_ms=7, error="no")
