"""What is past its time goes, in batches so small that nobody waits for one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.attention import AttentionItem, AttentionKind
from contracts.ids import first_id_at

BATCH = 1_000
LOOKED_THROUGH = 10_000
# Up to ten thousand jobs, or items, each.
JOB_BATCHES_AT_ONCE = 1
BULK_ACTIONS_AT_ONCE = 1

# Ids are made of the time: the primary key finds what is old. What is still live of that is little. Those of a batch go
# with it.
_JOBS = text("""
    WITH over AS (
        SELECT id FROM followthrough.jobs WHERE id > :behind AND id < :first_kept AND finished_at < :before
            AND batch_id IS NULL
            AND NOT EXISTS (SELECT FROM followthrough.reports WHERE job_id = jobs.id)
        ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED
    ), keys AS (
        DELETE FROM followthrough.job_keys USING over WHERE job_keys.job_id = over.id
    ), letters AS (
        DELETE FROM followthrough.discarded_letters AS letters USING over WHERE letters.id = over.id
    )
    DELETE FROM followthrough.jobs USING over WHERE jobs.id = over.id RETURNING jobs.id AS position
""")
_BATCHES = text("""
    WITH over AS (
        SELECT id FROM followthrough.job_batches WHERE id > :behind AND id < :first_kept AND created_at < :before
            AND NOT EXISTS (
                SELECT FROM followthrough.jobs
                WHERE batch_id = job_batches.id AND (finished_at IS NULL OR finished_at >= :before)
            )
        ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM followthrough.jobs USING over WHERE jobs.batch_id = over.id AND finished_at < :before
        RETURNING jobs.id
    ), letters AS (
        DELETE FROM followthrough.discarded_letters AS letters USING gone WHERE letters.id = gone.id
    )
    DELETE FROM followthrough.job_batches AS batches USING over WHERE batches.id = over.id
    RETURNING batches.id AS position
""")
_BULK_ACTIONS = text("""
    WITH over AS (
        SELECT id FROM followthrough.bulk_actions WHERE id > :behind AND id < :first_kept AND finished_at < :before
        ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED
    ), items AS (
        DELETE FROM followthrough.bulk_items USING over WHERE bulk_items.bulk_id = over.id
    )
    DELETE FROM followthrough.bulk_actions AS bulks USING over WHERE bulks.id = over.id RETURNING bulks.id AS position
""")
_DELIVERIES = text("""
    WITH over AS (
        SELECT id FROM followthrough.webhook_deliveries
        WHERE id > :behind AND id < :first_kept AND status <> 'pending' AND updated_at < :before
        ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED
    )
    DELETE FROM followthrough.webhook_deliveries AS deliveries USING over WHERE deliveries.id = over.id
    RETURNING deliveries.id AS position
""")
_SIGN_UPS = text("""
    WITH over AS (
        SELECT key_hash FROM followthrough.sign_ups WHERE created_at >= :behind AND created_at < :before
        ORDER BY created_at LIMIT :batch FOR UPDATE SKIP LOCKED
    )
    DELETE FROM followthrough.sign_ups USING over WHERE sign_ups.key_hash = over.key_hash
    RETURNING sign_ups.created_at AS position
""")
# The event itself stays, to be known when it comes again.
_INBOUND_BODIES = text("""
    WITH over AS (
        SELECT provider, event_id FROM followthrough.inbound_events
        WHERE body <> '' AND processed_at IS NOT NULL AND received_at >= :behind AND received_at < :before
        ORDER BY received_at LIMIT :batch FOR UPDATE SKIP LOCKED
    )
    UPDATE followthrough.inbound_events AS events SET body = '' FROM over
    WHERE events.provider = over.provider AND events.event_id = over.event_id
    RETURNING events.received_at AS position
""")
# In the order in which an account's endpoints are deleted.
_SECRETS = text("""
    WITH old AS (
        SELECT id FROM followthrough.webhook_endpoints
        WHERE id > :behind AND EXISTS (
            SELECT FROM jsonb_array_elements(secrets) AS entry
            WHERE CAST(entry ->> 'expires_at' AS timestamptz) < :before
        )
        ORDER BY id LIMIT :batch FOR UPDATE
    )
    UPDATE followthrough.webhook_endpoints AS endpoints SET secrets = (
        SELECT jsonb_agg(entry ORDER BY number)
        FROM jsonb_array_elements(endpoints.secrets) WITH ORDINALITY AS entries (entry, number)
        WHERE entry ->> 'expires_at' IS NULL OR CAST(entry ->> 'expires_at' AS timestamptz) >= :before
    )
    FROM old WHERE endpoints.id = old.id
    RETURNING endpoints.id AS position
""")
_ORPHANS = text("""
    WITH page AS MATERIALIZED (
        SELECT order_id, sku, warehouse, quantity, state FROM followthrough.reservations
        WHERE (order_id, sku, warehouse) > (:order_id, :sku, :warehouse)
        ORDER BY order_id, sku, warehouse LIMIT :batch
    )
    SELECT order_id, sku, warehouse, quantity, status
    FROM page JOIN followthrough.orders ON orders.id = order_id
    WHERE state = 'held' AND phase = 'closed'
    UNION ALL
    (SELECT order_id, sku, warehouse, NULL, NULL FROM page ORDER BY order_id DESC, sku DESC, warehouse DESC LIMIT 1)
""")

_LONG_AGO = datetime.fromisoformat("1970-01-01T00:00:00Z")


@dataclass(frozen=True)
class Batch:
    """How many rows a batch had, and where the next one begins; None when there is none."""

    rows: int
    next: Any


class CleanupRepository:
    """Deletes a batch of what is over since before a time; the first batch begins where no `behind` is given."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def forget_jobs(self, before: datetime, behind: Any = None) -> Batch:
        """Jobs that finished before then, with the keys that they answer to: such a key asks for a new job again.

        Not those of batches. That of a report stays as long as the report, which says how it went.
        """
        return await self._batch(_JOBS, before, behind or "", first_kept=first_id_at("job", before))

    async def forget_batches(self, before: datetime, behind: Any = None) -> Batch:
        """Batches whose jobs all finished before then, together with these and with their keys."""
        return await self._batch(
            _BATCHES, before, behind or "", at_once=JOB_BATCHES_AT_ONCE, first_kept=first_id_at("bat", before)
        )

    async def forget_bulk_actions(self, before: datetime, behind: Any = None) -> Batch:
        """Bulk actions that ended before then, with their items and keys. What the audit log tells of them stays."""
        return await self._batch(
            _BULK_ACTIONS, before, behind or "", at_once=BULK_ACTIONS_AT_ONCE, first_kept=first_id_at("blk", before)
        )

    async def forget_deliveries(self, before: datetime, behind: Any = None) -> Batch:
        """Webhook deliveries that were made, or given up, before then."""
        return await self._batch(_DELIVERIES, before, behind or "", first_kept=first_id_at("whd", before))

    async def forget_sign_up_keys(self, before: datetime, behind: Any = None) -> Batch:
        """What sign-ups of before then were answered with. Their accounts stay."""
        return await self._batch(_SIGN_UPS, before, behind or _LONG_AGO)

    async def empty_inbound_events(self, before: datetime, behind: Any = None) -> Batch:
        """The bodies of events that came before then, and that no version of ours has understood since."""
        return await self._batch(_INBOUND_BODIES, before, behind or _LONG_AGO)

    async def forget_secrets(self, before: datetime, behind: Any = None) -> Batch:
        """Secrets of webhook endpoints that sign nothing since then."""
        return await self._batch(_SECRETS, before, behind or "")

    async def orphaned_reservations(self, behind: Any = None) -> tuple[Sequence[AttentionItem], Any]:
        """An item for each order among the next 10,000 reservations that is over and holds stock all the same.

        Returns them with the place behind these reservations, None when there are no more.
        """
        order_id, sku, warehouse = behind or ("", "", "")
        place = {"order_id": order_id, "sku": sku, "warehouse": warehouse, "batch": LOOKED_THROUGH}
        async with self._engine.connect() as connection:
            rows = (await connection.execute(_ORPHANS, place)).all()
        if not rows:
            return (), None
        [last] = [row for row in rows if row.status is None]
        items = [
            AttentionItem(
                kind=AttentionKind.ORPHANED_RESERVATION,
                source=f"{row.order_id}/{row.sku}/{row.warehouse}",
                order_id=row.order_id,
                detail=f"{row.order_id} is {row.status}, and holds {row.quantity} of {row.sku} in {row.warehouse}",
            )
            for row in rows
            if row.status is not None
        ]
        return items, (last.order_id, last.sku, last.warehouse)

    async def _batch(
        self, statement: TextClause, before: datetime, behind: Any, at_once: int = BATCH, **more: Any
    ) -> Batch:
        async with self._engine.begin() as connection:
            positions = (
                await connection.scalars(statement, {"before": before, "behind": behind, "batch": at_once, **more})
            ).all()
        return Batch(len(positions), max(positions) if len(positions) == at_once else None)
