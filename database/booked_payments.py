"""What our books say of payments, for comparing them with the provider's."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.reconciliation import BookedPayments
from database.books import STEP_AS_JSON
from database.paging import Position

PAGE = 500

_PAYMENTS = f"""
    SELECT id AS order_id, status, phase, fulfilments, updated_at,
        (SELECT coalesce(json_agg({STEP_AS_JSON}), '[]') FROM followthrough.order_steps
         WHERE order_id = orders.id AND step IN ('charge', 'refund')) AS steps
    FROM followthrough.orders
"""  # noqa: S608 - put together from constants
_OF = text(f"{_PAYMENTS} WHERE id = ANY(:order_ids)")
_CLOSED = text(f"""
    {_PAYMENTS}
    WHERE phase = 'closed' AND updated_at >= :since AND updated_at < :until AND (updated_at, id) > (:at, :id)
    ORDER BY updated_at, id LIMIT :limit
""")


class BookedPaymentsRepository:
    """Reads them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def of(self, order_ids: Sequence[str]) -> Mapping[str, BookedPayments]:
        """Those of these orders, by order; what our books don't have is left out."""
        async with self._engine.connect() as connection:
            rows = (await connection.execute(_OF, {"order_ids": list(order_ids)})).all()
        return {row.order_id: BookedPayments.model_validate(row._mapping) for row in rows}

    async def closed(
        self, since: datetime, until: datetime, behind: Position | None
    ) -> tuple[Sequence[BookedPayments], Position | None]:
        """A page of the orders that closed in this time, and the place behind it, None at the end."""
        place: dict[str, Any] = {"at": behind.created_at if behind else since, "id": behind.id if behind else ""}
        query = {"since": since, "until": until, "limit": PAGE, **place}
        async with self._engine.connect() as connection:
            rows = (await connection.execute(_CLOSED, query)).all()
        behind = Position(rows[-1].updated_at, rows[-1].order_id) if len(rows) == PAGE else None
        return [BookedPayments.model_validate(row._mapping) for row in rows], behind
