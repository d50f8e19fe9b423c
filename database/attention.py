"""Items that somebody has to look at."""

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.attention import AttentionItem
from contracts.ids import new_attention_item_id
from database.tables import attention_items


class AttentionRepository:
    """Opens items."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def open(self, item: AttentionItem) -> bool:
        """Open an item. False when its source has one of that kind, open or closed."""
        row = insert(attention_items).values(id=new_attention_item_id(), **item.model_dump())
        async with self._engine.begin() as connection:
            opened = await connection.scalar(row.on_conflict_do_nothing().returning(attention_items.c.id))
        return opened is not None
