"""Orders that stand still for longer than they may."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.attention import AttentionItem, AttentionKind

# Every wait that an order may have ends in a booking. An order that was accepted before its rules were kept has the
# longest of them. While fraud checks are suspended, orders may wait for theirs.
_STUCK = text("""
    SELECT id, status, updated_at FROM followthrough.orders
    WHERE status IN ('processing', 'awaiting_approval', 'awaiting_customer')
        AND updated_at < CAST(:at AS timestamptz) - make_interval(secs => :slack_s + coalesce(CAST(rules ->> CASE status
            WHEN 'awaiting_approval' THEN 'approval_deadline_s'
            WHEN 'awaiting_customer' THEN 'customer_deadline_s'
            ELSE 'retry_window_s' END AS integer), :longest_s))
        AND NOT ((SELECT maintenance FROM followthrough.fraud_settings) AND EXISTS (
            SELECT FROM followthrough.order_steps
            WHERE order_id = orders.id AND step = 'check_fraud' AND outcome IS NULL
        ))
    ORDER BY created_at LIMIT :limit
""")
_KNOWN = text("SELECT id FROM followthrough.orders WHERE id = ANY(:ids)")
LONGEST_S = 3 * 24 * 60 * 60


class OrderWatch:
    """Finds them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def stuck(self, at: datetime, *, slack_s: int, limit: int) -> Sequence[AttentionItem]:
        """At most `limit` orders whose last booking is older than their own time-outs, and the slack, allow."""
        query = {"at": at, "slack_s": slack_s, "longest_s": LONGEST_S, "limit": limit}
        async with self._engine.connect() as connection:
            rows = (await connection.execute(_STUCK, query)).all()
        return [
            AttentionItem(
                kind=AttentionKind.STUCK_ORDER,
                source=row.id,
                order_id=row.id,
                detail=f"{row.id} is {row.status}, and stands still since {row.updated_at:%Y-%m-%d %H:%M} UTC",
            )
            for row in rows
        ]

    async def unknown(self, order_ids: Sequence[str]) -> list[str]:
        """Those of these orders that our books don't have."""
        async with self._engine.connect() as connection:
            known = set((await connection.scalars(_KNOWN, {"ids": list(order_ids)})).all())
        return [order_id for order_id in order_ids if order_id not in known]
