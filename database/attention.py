"""Items that somebody has to look at."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.attention import AttentionItem, AttentionKind, KeptItem
from contracts.audit import Act, AuditAction
from contracts.ids import new_attention_item_id
from database.audit import record
from database.paging import Position, newest_first
from database.tables import attention_items

_IS_CLOSED = attention_items.c.closed_at.is_not(None)


class AttentionRepository:
    """Opens, closes and lists items."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def open(self, item: AttentionItem) -> bool:
        """Open an item. False when its source has one of that kind, open, or closed and the same as then."""
        row = insert(attention_items).values(id=new_attention_item_id(), **item.model_dump())
        if item.kind.may_change:
            opening = _reopening(row, _IS_CLOSED, attention_items.c.detail != row.excluded.detail)
        else:
            opening = row.on_conflict_do_nothing()
        async with self._engine.begin() as connection:
            opened = await connection.scalar(opening.returning(attention_items.c.id))
        return opened is not None

    async def open_again(self, items: Sequence[AttentionItem]) -> int:
        """Open items of what may come and go. Returns how many were not open.

        One that was closed opens again; one that an operator closed does so when it is not the same as it was then.
        """
        if not items:
            return 0
        rows = insert(attention_items).values(
            [{"id": new_attention_item_id(), **item.model_dump()} for item in sorted(items, key=lambda one: one.source)]
        )
        has_changed = attention_items.c.detail != rows.excluded.detail
        opening = _reopening(rows, _IS_CLOSED, or_(~attention_items.c.dismissed, has_changed))
        async with self._engine.begin() as connection:
            return len((await connection.scalars(opening.returning(attention_items.c.id))).all())

    async def close_others(self, kind: AttentionKind, sources: Collection[str]) -> int:
        """Close the items of a kind that are not about these any more. Returns how many were open.

        What an operator had closed has passed, too: when it comes again it opens again.
        """
        others = update(attention_items).where(attention_items.c.kind == kind, attention_items.c.source.not_in(sources))
        async with self._engine.begin() as connection:
            await connection.execute(others.where(attention_items.c.dismissed).values(dismissed=False))
            closing = others.where(attention_items.c.closed_at.is_(None)).values(closed_at=func.now())
            return (await connection.execute(closing)).rowcount

    async def find(self, item_id: str) -> KeptItem | None:
        async with self._engine.connect() as connection:
            query = select(attention_items).where(attention_items.c.id == item_id)
            found = (await connection.execute(query)).one_or_none()
        return KeptItem.model_validate(found._mapping) if found is not None else None

    async def close(self, item_id: str, act: Act) -> KeptItem | None:
        """Close an item because an operator says so; closing a closed one changes nothing. None when there is none."""
        ours = attention_items.c.id == item_id
        async with self._engine.begin() as connection:
            found = (await connection.execute(select(attention_items).where(ours).with_for_update())).one_or_none()
            if found is not None and found.closed_at is None:
                closing = update(attention_items).where(ours).values(closed_at=func.now(), dismissed=True)
                closed = (await connection.execute(closing.returning(*attention_items.c))).one()
                shown = {"kind": found.kind, "source": found.source, "detail": found.detail}
                await record(
                    connection,
                    act,
                    AuditAction.ATTENTION_CLOSE,
                    item_id,
                    before={"open": True, **shown},
                    after={"open": False},
                )
                found = closed
        return KeptItem.model_validate(found._mapping) if found is not None else None

    async def list_open(self, *, kind: AttentionKind | None, after: Position | None, limit: int) -> list[KeptItem]:
        """At most `limit` open items, the ones opened last first."""
        # What lists are ordered by has one name everywhere.
        items = select(attention_items, attention_items.c.opened_at.label("created_at")).subquery()
        query = newest_first(select(items), items, after, limit).where(items.c.closed_at.is_(None))
        if kind is not None:
            query = query.where(items.c.kind == kind)
        async with self._engine.connect() as connection:
            return [KeptItem.model_validate(row._mapping) for row in await connection.execute(query)]


def _reopening(rows: Insert, *when: Any) -> Insert:
    """Insert these, or open those that are there again, in their words of now."""
    return rows.on_conflict_do_update(
        index_elements=["kind", "source"],
        set_={"detail": rows.excluded.detail, "opened_at": func.now(), "closed_at": None, "dismissed": False},
        where=and_(*when),
    )
