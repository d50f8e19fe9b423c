"""The events that providers sent us. Each is kept once, together with the outbox row that has it processed."""

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.inbound import InboundEvent, InboundProvider
from contracts.outbox import OutboxKind
from database.outbox import put
from database.tables import inbound_events


class InboundRepository:
    """Keeps events."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def keep(self, event: InboundEvent) -> bool:
        """Keep an event and have it processed, in one transaction. False for one that was kept before."""
        row = insert(inbound_events).values(
            provider=event.provider, event_id=event.id, type=event.type, body=event.body
        )
        async with self._engine.begin() as connection:
            kept = await connection.scalar(row.on_conflict_do_nothing().returning(inbound_events.c.event_id))
            if kept is None:
                return False
            await put(
                connection,
                aggregate=f"inbound/{event.provider}/{event.id}",
                kind=OutboxKind.INBOUND_EVENT,
                payload={"provider": event.provider, "event_id": event.id},
            )
        return True

    async def unprocessed(self, provider: InboundProvider, event_id: str) -> InboundEvent | None:
        """An event that is still to be processed; None for any other."""
        query = select(inbound_events).where(
            inbound_events.c.provider == provider,
            inbound_events.c.event_id == event_id,
            inbound_events.c.processed_at.is_(None),
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        return InboundEvent(provider=InboundProvider(row.provider), id=row.event_id, type=row.type, body=row.body)

    async def done(self, event: InboundEvent) -> None:
        """Mark an event as processed. Its text, which may tell of people, is of no use any more, and goes."""
        await self._processed(event, body="")

    async def ignored(self, event: InboundEvent) -> None:
        """Mark an event as processed that says nothing we know. Its text stays: a later version may know."""
        await self._processed(event)

    async def _processed(self, event: InboundEvent, **changes: str) -> None:
        """The first time stays."""
        async with self._engine.begin() as connection:
            await connection.execute(
                update(inbound_events)
                .where(
                    inbound_events.c.provider == event.provider,
                    inbound_events.c.event_id == event.id,
                    inbound_events.c.processed_at.is_(None),
                )
                .values(processed_at=func.now(), **changes)
            )
