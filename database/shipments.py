"""Shipments on their way: what carriers tell of them is kept first, and decided under the shipment's lock."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.shipments import (
    ShipmentStatus,
    TrackedShipment,
    TrackingOutcome,
    TrackingSource,
    TrackingStep,
    Verdict,
    in_order_of_journey,
    verdict_on,
)
from contracts.webhooks import TOLD_OF_SHIPMENTS
from database.transaction import Connection, transaction

# What the carrier told of the shipment before our books had it is handed to the relay once more: now there is a
# workflow to tell.
_BOOK = """
    WITH booked AS (
        INSERT INTO followthrough.shipments (fulfilment_id, order_id, carrier_id, status, booked_at)
        VALUES ($1, $2, $3, 'booked', $4)
        ON CONFLICT DO NOTHING
        RETURNING carrier_id
    )
    INSERT INTO followthrough.outbox (aggregate, kind, payload)
    SELECT 'inbound/carrier/' || event_id, 'inbound_event',
        jsonb_build_object('provider', 'carrier', 'event_id', event_id)
    FROM followthrough.shipment_events JOIN booked USING (carrier_id)
    WHERE source = 'webhook' AND outcome = 'kept'
"""
_CANCEL = """
    UPDATE followthrough.shipments SET status = 'cancelled', cancelled_at = $2
    WHERE carrier_id = $1 AND status IN ('booked', 'dispatched')
"""
_COLUMNS = "fulfilment_id, order_id, carrier_id, status, booked_at, dispatched_at, delivered_at"
_FIND = f"SELECT {_COLUMNS} FROM followthrough.shipments WHERE carrier_id = $1"  # noqa: S608 - a constant
_LOCK = f"{_FIND} FOR UPDATE"
_OF_ORDER = f"SELECT {_COLUMNS} FROM followthrough.shipments WHERE order_id = $1"  # noqa: S608
_KEEP = """
    INSERT INTO followthrough.shipment_events (source, event_id, carrier_id, step, occurred_at)
    SELECT source, event_id, carrier_id, step, occurred_at
    FROM jsonb_to_recordset($1::jsonb)
        AS told (source text, event_id text, carrier_id text, step text, occurred_at timestamptz)
    ON CONFLICT DO NOTHING
"""
_RECEIVED_AT = "SELECT received_at FROM followthrough.shipment_events WHERE source = $1 AND event_id = $2"
_KEPT = """
    SELECT source, event_id, carrier_id, step, occurred_at FROM followthrough.shipment_events
    WHERE carrier_id = $1 AND outcome = 'kept'
    ORDER BY received_at, event_id
"""
_DECIDE = """
    UPDATE followthrough.shipment_events AS events SET outcome = decided.outcome, reason = decided.reason
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS decided (source, event_id, outcome, reason)
    WHERE events.source = decided.source AND events.event_id = decided.event_id
"""
# A webhook tells of each step, if there is anybody to hear it, once the transaction is committed.
_MOVE = """
    WITH told AS (
        INSERT INTO followthrough.outbox (aggregate, kind, payload)
        SELECT 'events/' || $1::text, 'event', event || jsonb_build_object('id', $1::text, 'owner', customer_id)
        FROM followthrough.orders, jsonb_array_elements($6::jsonb) WITH ORDINALITY AS events (event, number)
        WHERE orders.id = $5 AND EXISTS (
            SELECT FROM followthrough.webhook_endpoints
            WHERE webhook_endpoints.status = 'active' AND (owner = customer_id OR owner IS NULL)
        )
        ORDER BY number
    )
    UPDATE followthrough.shipments SET status = $2, dispatched_at = $3, delivered_at = $4 WHERE fulfilment_id = $1
"""
_STEPS = TypeAdapter(list[TrackingStep])
_TOLD = TypeAdapter(list[dict[str, Any]])


async def book(connection: Connection, *, fulfilment_id: str, order_id: str, carrier_id: str, at: datetime) -> None:
    """Enter a shipment that the carrier has taken. A repeat changes nothing."""
    await connection.execute(_BOOK, fulfilment_id, order_id, carrier_id, at)


async def cancel(connection: Connection, carrier_id: str, at: datetime) -> None:
    """Enter that a shipment was called back, unless it has arrived. A repeat changes nothing."""
    await connection.execute(_CANCEL, carrier_id, at)


async def of_order(connection: Connection, order_id: str) -> dict[str, TrackedShipment]:
    """The shipments of an order, by fulfilment id."""
    found = [_shipment(row) for row in await connection.fetch(_OF_ORDER, order_id)]
    return {shipment.fulfilment_id: shipment for shipment in found}


class ShipmentNotFound(LookupError):
    """Our books have no such shipment."""


class Kept(NamedTuple):
    """A step that is kept, since when, and the shipment that it is about, if our books have it."""

    since: datetime
    shipment: TrackedShipment | None


class ShipmentRepository:
    """Keeps what carriers tell, and decides it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def of_order(self, order_id: str) -> dict[str, TrackedShipment]:
        """The shipments of an order, by fulfilment id."""
        async with transaction(self._engine) as connection:
            return await of_order(connection, order_id)

    async def keep(self, step: TrackingStep) -> Kept:
        """Keep what the carrier told, for `settle` to decide. A repeat changes nothing.

        The shipment is looked for after the step is committed, so that a booking which this does not see may see the
        step.
        """
        async with transaction(self._engine) as connection:
            await connection.execute(_KEEP, _json([step]))
            since = await connection.fetchval(_RECEIVED_AT, step.source, step.event_id)
        async with transaction(self._engine) as connection:
            row = await connection.fetchrow(_FIND, step.carrier_id)
        return Kept(since, _shipment(row) if row else None)

    async def settle(self, carrier_id: str, on_record: Sequence[TrackingStep] = ()) -> TrackedShipment:
        """Decide everything that is kept of a shipment, and what the carrier has on record when it was just asked.

        The row's lock decides between those who settle at once. Raises ShipmentNotFound.
        """
        async with transaction(self._engine) as connection:
            row = await connection.fetchrow(_LOCK, carrier_id)
            if row is None:
                raise ShipmentNotFound(carrier_id)
            if on_record:
                await connection.execute(_KEEP, _json(on_record))
            kept = [TrackingStep.model_validate(dict(step)) for step in await connection.fetch(_KEPT, carrier_id)]
            before = _shipment(row)
            after, verdicts = _decide(before, kept)
            await connection.execute(
                _DECIDE,
                [step.source for step in kept],
                [step.event_id for step in kept],
                [verdict.outcome for verdict in verdicts],
                [verdict.reason for verdict in verdicts],
            )
            if after != before:
                await connection.execute(
                    _MOVE,
                    after.fulfilment_id,
                    after.status,
                    after.dispatched_at,
                    after.delivered_at,
                    after.order_id,
                    _TOLD.dump_json(_told(kept, verdicts)).decode(),
                )
        return after


def _decide(shipment: TrackedShipment, kept: list[TrackingStep]) -> tuple[TrackedShipment, list[Verdict]]:
    """Where the shipment is after these steps, which are put in order, and the verdict on each."""
    kept.sort(key=lambda step: in_order_of_journey(step.step))
    on_record = {step.step for step in kept if step.source is TrackingSource.POLL}
    verdicts = []
    for step in kept:
        verdict = verdict_on(step.step, shipment.status, is_on_record=step.step in on_record)
        if verdict.outcome is TrackingOutcome.APPLIED:
            status = ShipmentStatus(step.step)
            shipment = shipment.model_copy(update={"status": status, f"{status}_at": step.occurred_at})
        verdicts.append(verdict)
    return shipment, verdicts


def _told(steps: list[TrackingStep], verdicts: list[Verdict]) -> list[dict[str, Any]]:
    """What webhooks tell of the steps that were applied, but for whose they are."""
    return [
        {"type": TOLD_OF_SHIPMENTS[ShipmentStatus(step.step)], "status": step.step, "at": step.occurred_at}
        for step, verdict in zip(steps, verdicts, strict=True)
        if verdict.outcome is TrackingOutcome.APPLIED
    ]


def _json(steps: Sequence[TrackingStep]) -> str:
    return _STEPS.dump_json(list(steps)).decode()


def _shipment(row: Any) -> TrackedShipment:
    return TrackedShipment.model_validate(dict(row))
