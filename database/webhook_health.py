"""Webhook endpoints that get nothing any more, or soon will not."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.attention import AttentionItem, AttentionKind
from contracts.webhooks import DisabledReason, EndpointStatus
from database.tables import webhook_endpoints as endpoints
from database.webhook_attempts import FAILURES_WITHIN


class WebhookHealth:
    """Finds them. Items name no URL, which may hold a secret."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def failing(self, at: datetime, *, for_longer_than: timedelta, limit: int) -> Sequence[AttentionItem]:
        """At most `limit` active endpoints that have answered nothing but errors for so long."""
        query = select(endpoints.c.id, endpoints.c.owner, endpoints.c.failing_since).where(
            endpoints.c.status == EndpointStatus.ACTIVE,
            endpoints.c.failing_since < at - for_longer_than,
            endpoints.c.last_failed_at > at - FAILURES_WITHIN,
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query.order_by(endpoints.c.id).limit(limit))).all()
        return [
            _item(
                AttentionKind.WEBHOOK_FAILING,
                row.id,
                row.owner,
                f"answers nothing but errors since {row.failing_since:%Y-%m-%d %H:%M} UTC",
            )
            for row in rows
        ]

    async def disabled(self, *, limit: int) -> Sequence[AttentionItem]:
        """At most `limit` endpoints that were disabled, and not by their owner."""
        query = select(endpoints.c.id, endpoints.c.owner, endpoints.c.disabled_reason).where(
            endpoints.c.status == EndpointStatus.DISABLED,
            endpoints.c.disabled_reason.in_([DisabledReason.FAILING, DisabledReason.GONE]),
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query.order_by(endpoints.c.id).limit(limit))).all()
        return [
            _item(AttentionKind.WEBHOOK_DISABLED, row.id, row.owner, f"was disabled: {row.disabled_reason}")
            for row in rows
        ]


def _item(kind: AttentionKind, endpoint_id: str, owner: str | None, what: str) -> AttentionItem:
    whose = f"of {owner}" if owner is not None else "of this system"
    return AttentionItem(kind=kind, source=endpoint_id, order_id=None, detail=f"{endpoint_id} {whose} {what}")
