"""The audit log: written in the transaction of what it tells, and never changed. The table's triggers refuse it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.audit import Act, AuditAction, AuditEntry
from contracts.ids import new_audit_id
from database.paging import Position, newest_first
from database.tables import audit_log
from database.transaction import Connection

_INSERT = """
    INSERT INTO followthrough.audit_log (id, actor, action, subject, note, before, after, request_id, from_address)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_COLUMNS = [column if column.name != "created_at" else column.label("at") for column in audit_log.c]


class AuditLog:
    """What operators did."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(
        self, act: Act, action: AuditAction, subject: str, *, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> None:
        """Write down an action whose effect is not in Postgres, in a transaction of its own."""
        async with self._engine.begin() as connection:
            await record(connection, act, action, subject, before=before, after=after)

    async def list(
        self, *, subject: str | None, actor: str | None, action: str | None, after: Position | None, limit: int
    ) -> Sequence[AuditEntry]:
        """At most `limit` entries, newest first; None leaves a filter out."""
        query = newest_first(select(*_COLUMNS), audit_log, after, limit)
        for column, wanted in (
            (audit_log.c.subject, subject),
            (audit_log.c.actor, actor),
            (audit_log.c.action, action),
        ):
            if wanted is not None:
                query = query.where(column == wanted)
        async with self._engine.connect() as connection:
            return [AuditEntry.model_validate(row._mapping) for row in await connection.execute(query)]

    async def of_delivery(self, endpoint_id: str, delivery_id: str, limit: int) -> Sequence[AuditEntry]:
        """At most `limit` entries of a webhook endpoint about one delivery, newest first."""
        names_it = (column["delivery"].astext == delivery_id for column in (audit_log.c.before, audit_log.c.after))
        query = newest_first(select(*_COLUMNS), audit_log, None, limit)
        query = query.where(audit_log.c.subject == endpoint_id, or_(*names_it))
        async with self._engine.connect() as connection:
            return [AuditEntry.model_validate(row._mapping) for row in await connection.execute(query)]


async def record(
    connection: AsyncConnection,
    act: Act,
    action: AuditAction,
    subject: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write down an action in this connection's transaction."""
    entry = {"id": new_audit_id(), "action": action, "subject": subject, "before": before, "after": after}
    await connection.execute(insert(audit_log).values(**entry, **act.model_dump()))


async def record_booking(
    connection: Connection,
    act: Act,
    action: AuditAction,
    subject: str,
    *,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> None:
    """Write down an action in the transaction of an order's booking."""
    changed = json.dumps(before), json.dumps(after)
    await connection.execute(
        _INSERT, new_audit_id(), act.actor, action, subject, act.note, *changed, act.request_id, act.from_address
    )
