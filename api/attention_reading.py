"""Reads what needs attention, for one page of the console or for all that watch it."""

from api.attention_feed import NeedsAttention
from api.cursors import next_cursor, position_of
from api.dead_letter_keeping import DeadLetterKeeper
from api.outages import asking_postgres
from contracts.dead_letters import DeadLetterFilter
from database.attention import AttentionRepository
from database.paging import Position

SHOWN = 25
EVERYTHING = DeadLetterFilter()


async def needs_attention(
    letters: DeadLetterKeeper,
    attention: AttentionRepository,
    wanted: DeadLetterFilter = EVERYTHING,
    *,
    letters_after: str | None = None,
    items_after: str | None = None,
) -> NeedsAttention:
    """A page of each list; `wanted` narrows the dead letters alone. Raises InvalidCursor or Unreachable."""
    after = position_of(items_after)
    found = await letters.list(wanted, cursor=letters_after, limit=SHOWN)
    async with asking_postgres():
        items = await attention.list_open(kind=None, after=after, limit=SHOWN + 1)
    return NeedsAttention(
        letters=found,
        items=tuple(items[:SHOWN]),
        next_cursor=next_cursor(items, SHOWN, lambda item: Position(item.opened_at, item.id)),
    )
