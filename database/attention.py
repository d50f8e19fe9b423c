"""Items that somebody has to look at."""

from collections.abc import Collection, Sequence

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.attention import AttentionItem, AttentionKind, KeptItem
from contracts.ids import new_attention_item_id
from database.paging import Position, newest_first
from database.tables import attention_items


class AttentionRepository:
    """Opens, closes and lists items."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def open(self, item: AttentionItem) -> bool:
        """Open an item. False when its source has one of that kind, open or closed."""
        row = insert(attention_items).values(id=new_attention_item_id(), **item.model_dump())
        async with self._engine.begin() as connection:
            opened = await connection.scalar(row.on_conflict_do_nothing().returning(attention_items.c.id))
        return opened is not None

    async def open_again(self, items: Sequence[AttentionItem]) -> int:
        """Open items of what may come and go: one that was closed opens again. Returns how many were not open."""
        if not items:
            return 0
        rows = insert(attention_items).values(
            [{"id": new_attention_item_id(), **item.model_dump()} for item in sorted(items, key=lambda one: one.source)]
        )
        opening = rows.on_conflict_do_update(
            index_elements=["kind", "source"],
            set_={"detail": rows.excluded.detail, "opened_at": func.now(), "closed_at": None},
            where=attention_items.c.closed_at.is_not(None),
        ).returning(attention_items.c.id)
        async with self._engine.begin() as connection:
            return len((await connection.scalars(opening)).all())

    async def close_others(self, kind: AttentionKind, sources: Collection[str]) -> int:
        """Close the items of a kind that are not about these any more. Returns how many were open."""
        closing = (
            update(attention_items)
            .where(
                attention_items.c.kind == kind,
                attention_items.c.closed_at.is_(None),
                attention_items.c.source.not_in(sources),
            )
            .values(closed_at=func.now())
        )
        async with self._engine.begin() as connection:
            return (await connection.execute(closing)).rowcount

    async def list_open(self, *, kind: AttentionKind | None, after: Position | None, limit: int) -> list[KeptItem]:
        """At most `limit` open items, the ones opened last first."""
        # What lists are ordered by has one name everywhere.
        items = select(attention_items, attention_items.c.opened_at.label("created_at")).subquery()
        query = newest_first(select(items), items, after, limit).where(items.c.closed_at.is_(None))
        if kind is not None:
            query = query.where(items.c.kind == kind)
        async with self._engine.connect() as connection:
            return [KeptItem.model_validate(row._mapping) for row in await connection.execute(query)]
