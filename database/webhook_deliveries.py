"""What is to be delivered to which endpoint. A delivery's row and what has it begun are written in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.audit import Act, AuditAction
from contracts.ids import new_delivery_id, new_webhook_id
from contracts.outbox import OutboxKind
from contracts.webhooks import (
    DeliveryStatus,
    EndpointStatus,
    WebhookDelivery,
    WebhookEvent,
    subscriptions_to,
)
from database.audit import record
from database.outbox import put
from database.paging import Position, newest_first
from database.tables import webhook_deliveries, webhook_endpoints

_INTERNAL = ("event_key", "body", "retry_after_s", "claimed_until")
_COLUMNS = [column for column in webhook_deliveries.c if column.name not in _INTERNAL]


@dataclass(frozen=True)
class BegunDelivery:
    """A delivery that is to be made, and the endpoint it is for."""

    id: str
    endpoint_id: str


class DeliveryRepository:
    """Writes down what is to be delivered, and lists it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def fan_out(self, event: WebhookEvent, event_key: str) -> list[BegunDelivery]:
        """A delivery of this event for every active endpoint that wants it: its owner's, and the system's own.

        The same key makes each delivery once, however often this runs; those still pending are returned.
        """
        wants_it = (
            webhook_endpoints.c.status == EndpointStatus.ACTIVE,
            webhook_endpoints.c.owner.is_(None) | (webhook_endpoints.c.owner == event.owner),
            webhook_endpoints.c.event_types.overlap(list(subscriptions_to(event.type))),
        )
        async with self._engine.begin() as connection:
            # In the order in which an account's endpoints are deleted.
            wanting = select(webhook_endpoints.c.id).where(*wants_it).order_by(webhook_endpoints.c.id)
            endpoint_ids = (await connection.scalars(wanting)).all()
            if endpoint_ids:
                rows = [{**_first(endpoint_id, event), "event_key": event_key} for endpoint_id in endpoint_ids]
                await connection.execute(insert(webhook_deliveries).values(rows).on_conflict_do_nothing())
            pending = select(webhook_deliveries.c.id, webhook_deliveries.c.endpoint_id).where(
                webhook_deliveries.c.event_key == event_key, webhook_deliveries.c.status == DeliveryStatus.PENDING
            )
            return [BegunDelivery(row.id, row.endpoint_id) for row in await connection.execute(pending)]

    async def send(self, endpoint_id: str, event: WebhookEvent, act: Act | None = None) -> WebhookDelivery | None:
        """Have one endpoint told of an event, whatever it subscribes to; None when the endpoint is gone.

        An operator's `act` is entered in the audit log with it, here and below.
        """
        async with self._engine.begin() as connection:
            if not await _stays(connection, endpoint_id):
                return None
            sent = await _insert(connection, _first(endpoint_id, event))
            if act is not None:
                after = {"delivery": sent.id, "event_type": sent.event_type}
                await record(connection, act, AuditAction.ENDPOINT_TEST, endpoint_id, after=after)
        return sent

    async def redeliver(self, endpoint_id: str, delivery_id: str, act: Act | None = None) -> WebhookDelivery | None:
        """Have the message of an earlier delivery delivered once more; None when that endpoint got no such thing."""
        query = select(webhook_deliveries).where(
            webhook_deliveries.c.id == delivery_id, webhook_deliveries.c.endpoint_id == endpoint_id
        )
        async with self._engine.begin() as connection:
            if not await _stays(connection, endpoint_id):
                return None
            earlier = (await connection.execute(query)).one_or_none()
            if earlier is None:
                return None
            again = await _insert(connection, _copy(endpoint_id, earlier.webhook_id, earlier.event_type, earlier.body))
            if act is not None:
                before = {"delivery": earlier.id, "status": earlier.status}
                after = {"delivery": again.id, "status": again.status}
                await record(connection, act, AuditAction.ENDPOINT_REDELIVER, endpoint_id, before=before, after=after)
        return again

    async def find(self, delivery_id: str) -> WebhookDelivery | None:
        query = select(*_COLUMNS).where(webhook_deliveries.c.id == delivery_id)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        return _delivery(row) if row is not None else None

    async def list(self, endpoint_id: str, *, after: Position | None, limit: int) -> Sequence[WebhookDelivery]:
        """At most `limit` of an endpoint's deliveries, newest first."""
        query = newest_first(select(*_COLUMNS), webhook_deliveries, after, limit)
        async with self._engine.connect() as connection:
            rows = await connection.execute(query.where(webhook_deliveries.c.endpoint_id == endpoint_id))
            return [_delivery(row) for row in rows]


async def _stays(connection: AsyncConnection, endpoint_id: str) -> bool:
    """Whether there is such an endpoint; it is not deleted before this transaction ends."""
    query = select(webhook_endpoints.c.id).where(webhook_endpoints.c.id == endpoint_id)
    return await connection.scalar(query.with_for_update(key_share=True, read=True)) is not None


def _first(endpoint_id: str, event: WebhookEvent) -> dict[str, Any]:
    return _copy(endpoint_id, new_webhook_id(), event.type, event.body)


def _copy(endpoint_id: str, webhook_id: str, event_type: str, body: str) -> dict[str, Any]:
    """The row of a delivery that nothing else may ask for: its key is its own."""
    delivery_id = new_delivery_id()
    return {
        "id": delivery_id,
        "endpoint_id": endpoint_id,
        "event_key": delivery_id,
        "webhook_id": webhook_id,
        "event_type": event_type,
        "body": body,
        "status": DeliveryStatus.PENDING,
    }


async def _insert(connection: AsyncConnection, row: dict[str, Any]) -> WebhookDelivery:
    inserted = (await connection.execute(insert(webhook_deliveries).values(row).returning(*_COLUMNS))).one()
    await put(
        connection,
        aggregate=f"delivery/{inserted.id}",
        kind=OutboxKind.DELIVERY,
        payload={"delivery_id": inserted.id, "endpoint_id": inserted.endpoint_id},
    )
    return _delivery(inserted)


def _delivery(row: Row[Any]) -> WebhookDelivery:
    return WebhookDelivery.model_validate(row._mapping)
