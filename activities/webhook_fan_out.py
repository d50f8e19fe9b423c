"""What follows from events: each is delivered to every endpoint that wants it, by a workflow of its own."""

import asyncio
from collections.abc import Mapping

from temporalio.client import Client

from activities.outbox_relay import Handler
from activities.process_starts import start_once
from contracts import queues
from contracts.ids import delivery_workflow_id
from contracts.outbox import OutboxKind, OutboxRow
from contracts.webhooks import Deliver, WebhookEvent
from database.webhook_deliveries import BegunDelivery, DeliveryRepository

STARTS_AT_ONCE = 20


class WebhookFanOut:
    """Handles the outbox rows of webhooks. The key of an event and the ids of workflows make a repeat harmless."""

    def __init__(self, client: Client, deliveries: DeliveryRepository) -> None:
        self._client = client
        self._deliveries = deliveries
        self._starts = asyncio.Semaphore(STARTS_AT_ONCE)

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {OutboxKind.EVENT: self.event, OutboxKind.DELIVERY: self.delivery}

    async def event(self, row: OutboxRow) -> None:
        event = WebhookEvent.model_validate(row.payload)
        begun = await self._deliveries.fan_out(event, event_key=f"outbox/{row.id}")
        await asyncio.gather(*map(self._start, begun))

    async def delivery(self, row: OutboxRow) -> None:
        await self._start(BegunDelivery(id=row.payload["delivery_id"], endpoint_id=row.payload["endpoint_id"]))

    async def _start(self, begun: BegunDelivery) -> None:
        async with self._starts:
            await start_once(
                self._client,
                "Delivery",
                Deliver(delivery_id=begun.id),
                delivery_workflow_id(begun.id),
                task_queue=queues.WEBHOOKS,
                # An endpoint with a thousand deliveries waiting takes turns with the one that has but one.
                fairness_key=begun.endpoint_id,
            )
