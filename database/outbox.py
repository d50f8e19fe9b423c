"""The outbox: what is to be done outside of Postgres, written in the transaction that makes it necessary."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from sqlalchemy import ColumnElement, Text, all_, any_, delete, exists, func, insert, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.outbox import OutboxKind, OutboxRow
from contracts.webhooks import WebhookEvent
from database.tables import outbox

# The trigger of the table tells of new rows here.
CHANNEL = "followthrough_outbox"


async def put(connection: AsyncConnection, *, aggregate: str, kind: str, payload: dict[str, Any]) -> None:
    """Have something done once this connection's transaction is committed."""
    await connection.execute(insert(outbox).values(aggregate=aggregate, kind=kind, payload=payload))


async def tell(connection: AsyncConnection, event: WebhookEvent) -> None:
    """Have webhooks tell of an event once this connection's transaction is committed."""
    payload = event.model_dump(mode="json")
    await put(connection, aggregate=f"events/{event.id}", kind=OutboxKind.EVENT, payload=payload)


@dataclass(frozen=True)
class Lag:
    """How much waits in the outbox, and how old the oldest of it is, in seconds."""

    rows: int
    seconds: float


class Batch:
    """Rows that are ours while their transaction is open. Those that are not `done` stay for the next time."""

    def __init__(self, connection: AsyncConnection, rows: Collection[OutboxRow]) -> None:
        self._connection = connection
        self.rows = rows

    async def done(self, ids: Collection[int]) -> None:
        await self._connection.execute(delete(outbox).where(outbox.c.id.in_(ids)))


class Outbox:
    """Hands the rows to those who do them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def take(
        self, limit: int, *, of: Collection[str] | None = None, leaving: Collection[str] = ()
    ) -> AsyncIterator[Batch]:
        """The oldest row of each of `limit` aggregates at most, none of which another process has or is to be left.

        `of` are the aggregates in question, or else all. A row is no candidate before its predecessor is gone, which
        keeps the order within an aggregate, however many processes take rows.
        """
        earlier = outbox.alias("earlier")
        query = (
            select(outbox)
            .where(outbox.c.aggregate != all_(_texts(leaving)))
            .where(~exists().where(earlier.c.aggregate == outbox.c.aggregate, earlier.c.id < outbox.c.id))
            .order_by(outbox.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True, of=outbox)
        )
        if of is not None:
            query = query.where(outbox.c.aggregate == any_(_texts(of)))
        async with self._engine.begin() as connection:
            rows = [OutboxRow.model_validate(row._mapping) for row in await connection.execute(query)]
            yield Batch(connection, rows)

    async def hear(self, tell: Callable[[], None]) -> None:
        """Call `tell` whenever rows were committed; returns when the connection that hears of them has ended."""
        ended = asyncio.Event()
        async with self._engine.connect() as pooled:
            connection = (await pooled.get_raw_connection()).driver_connection
            assert isinstance(connection, asyncpg.Connection)
            connection.add_termination_listener(lambda *_: ended.set())
            await connection.add_listener(CHANNEL, lambda *_: tell())
            try:
                await ended.wait()
            finally:
                # It is of no use to the pool any more: it listens.
                await pooled.invalidate()

    async def lag(self) -> Lag:
        query = select(
            func.count(), func.coalesce(func.extract("epoch", func.now() - func.min(outbox.c.created_at)), 0)
        ).select_from(outbox)
        async with self._engine.connect() as connection:
            rows, seconds = (await connection.execute(query)).one()
        return Lag(rows, max(0.0, float(seconds)))


def _texts(texts: Collection[str]) -> ColumnElement[Sequence[str]]:
    """One parameter, however many there are."""
    return literal(list(texts), ARRAY(Text))
