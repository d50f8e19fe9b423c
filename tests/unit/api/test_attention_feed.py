"""The list of what needs attention as it is watched: one look serves all, and none is taken for nobody."""

import asyncio
from contextlib import ExitStack

from api.attention_feed import AttentionFeed, NeedsAttention
from api.dead_letter_resource import DeadLetterList
from api.outages import Unreachable

WATCHERS = 50


class Books:
    """How often they were asked, and what they say."""

    def __init__(self) -> None:
        self.asked = 0
        self.total = 0
        self.are_away = False

    async def look(self) -> NeedsAttention:
        self.asked += 1
        if self.are_away:
            raise Unreachable("Postgres")
        return NeedsAttention(DeadLetterList(items=(), next_cursor=None, total=self.total, counts=()), (), None)


async def test_however_many_watch_one_looks() -> None:
    books = Books()
    feed = AttentionFeed(books.look)

    with ExitStack() as stack:
        watching = [stack.enter_context(feed.follow(None)) for _ in range(WATCHERS)]
        found = await asyncio.gather(*(anext(place) for place in watching))

    assert books.asked == 1
    assert {one.digest for one in found} == {found[0].digest}
    assert feed.found is None


async def test_who_shows_the_list_as_it_is_hears_of_changes_alone() -> None:
    books = Books()
    feed = AttentionFeed(books.look)
    shown = (await books.look()).digest

    with feed.follow(shown) as place:
        waiting = asyncio.ensure_future(anext(place))
        await asyncio.sleep(0)
        feed.tell(await books.look())
        await asyncio.sleep(0)
        assert not waiting.done()
        books.total = 1
        feed.tell(await books.look())

        assert (await waiting).letters.total == 1


async def test_an_outage_is_waited_out() -> None:
    books = Books()
    books.are_away = True
    feed = AttentionFeed(books.look)

    with feed.follow(None) as place:
        waiting = asyncio.ensure_future(anext(place))
        while not books.asked:
            await asyncio.sleep(0)
        assert not waiting.done()
        books.are_away = False
        feed.tell(await books.look())

        assert (await waiting).letters.total == 0
