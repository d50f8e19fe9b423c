"""How much of everything there is now, counted to a limit: as quick among a million orders as among a thousand."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from sqlalchemy import Table, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.attention import AttentionKind
from contracts.jobs import FINAL_STATUSES as ENDED
from contracts.jobs import JobStatus
from contracts.orders import OrderStatus
from database.tables import attention_items, jobs, orders

# Whoever has so many of anything does not need to know how many more.
COUNTED_TO = 10_000

Key = TypeVar("Key", bound=StrEnum)


class Tallies:
    """Counts what is not over; what is over grows for ever, and is counted when it ends."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def orders(self) -> Mapping[OrderStatus, int]:
        """Orders by status, of those that are not final."""
        async with self._engine.connect() as connection:
            return await _by_status(connection, orders, [one for one in OrderStatus if not one.is_final])

    async def jobs(self) -> Mapping[JobStatus, int]:
        """Live jobs by status."""
        async with self._engine.connect() as connection:
            return await _by_status(connection, jobs, [one for one in JobStatus if one not in ENDED])

    async def attention_items(self) -> Mapping[AttentionKind, int]:
        """Open items by kind."""
        is_open = attention_items.c.closed_at.is_(None)
        some = select(attention_items.c.kind).where(is_open).order_by(attention_items.c.opened_at).limit(COUNTED_TO)
        counted = some.subquery()
        async with self._engine.connect() as connection:
            found = await connection.execute(select(counted.c.kind, func.count()).group_by(counted.c.kind))
            return {**dict.fromkeys(AttentionKind, 0), **{AttentionKind(kind): count for kind, count in found}}


async def _by_status(connection: AsyncConnection, table: Table, statuses: list[Key]) -> Mapping[Key, int]:
    """From the index of the lists by status alone: in its order, nothing else would be as cheap."""
    counts = []
    for number, status in enumerate(statuses):
        some = select(table.c.id).where(table.c.status == status).order_by(table.c.created_at, table.c.id)
        counts.append(select(literal(number), func.count()).select_from(some.limit(COUNTED_TO).subquery()))
    return {statuses[number]: count for number, count in await connection.execute(union_all(*counts))}
