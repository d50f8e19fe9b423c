"""Closes what somebody has looked at."""

from api.errors import NotFound
from api.outages import asking_postgres
from contracts.attention import KeptItem
from contracts.audit import Act
from database.attention import AttentionRepository


async def known_item(attention: AttentionRepository, item_id: str) -> KeptItem:
    """The item, open or closed. Raises NotFound or Unreachable."""
    async with asking_postgres():
        item = await attention.find(item_id)
    if item is None:
        raise NotFound
    return item


async def close_item(attention: AttentionRepository, item_id: str, act: Act) -> KeptItem:
    """Have an item listed no more, unless what it is about changes. Raises NotFound or Unreachable."""
    async with asking_postgres():
        item = await attention.close(item_id, act)
    if item is None:
        raise NotFound
    return item
