"""What follows from events: each is delivered to every endpoint that wants it, by a workflow of its own."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.outbox_relay import Handler
from contracts import queues
from contracts.ids import delivery_workflow_id
from contracts.outbox import OutboxKind, OutboxRow
from contracts.webhooks import Deliver, WebhookEvent
from database.webhook_deliveries import BegunDelivery, DeliveryRepository

# After a kill of the worker its tasks go to the next one this soon.
TASK_TIMEOUT = timedelta(seconds=2)
RPC_TIMEOUT = timedelta(seconds=5)
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
            try:
                await self._client.start_workflow(
                    "Delivery",
                    Deliver(delivery_id=begun.id),
                    id=delivery_workflow_id(begun.id),
                    task_queue=queues.WEBHOOKS,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    task_timeout=TASK_TIMEOUT,
                    rpc_timeout=RPC_TIMEOUT,
                    # An endpoint with a thousand deliveries waiting takes turns with the one that has but one.
                    priority=Priority(fairness_key=begun.endpoint_id),
                )
            except WorkflowAlreadyStartedError:
                return
