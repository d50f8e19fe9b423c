"""The timelines of watched orders, as they grow: read once for each process, however many watch.

Postgres tells of every order with new entries; those that are watched here are then read, many at once. Nothing of this
depends on Temporal.
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any

import structlog
from pydantic import TypeAdapter, ValidationError

from api.following import Following
from api.metrics import ORDER_WATCHERS
from contracts.orders import FINAL_STATUSES, TimelineEntry
from database.order_events import ListeningConnection, OrderEvents

# What is told is told once, and a pooler between us and Postgres may not pass it on at all.
LOOK_EVERY_S = 5.0
TRY_AGAIN_AFTER_S = 1.0

log = structlog.get_logger()

_ENTRIES = TypeAdapter(tuple[TimelineEntry, ...])


def ends_by(entries: Sequence[TimelineEntry], sequence: int) -> bool:
    """Whether the entry that has the name of a final status is among these, up to and with this sequence."""
    return any(entry.type.value in FINAL_STATUSES for entry in entries if entry.sequence <= sequence)


class Timeline:
    """One watched order: its entries so far, from the first, and who follows them."""

    def __init__(self) -> None:
        self.entries: list[TimelineEntry] = []
        self.followers: set[FollowingTimeline] = set()

    @property
    def last_sequence(self) -> int:
        return self.entries[-1].sequence if self.entries else 0

    def after(self, sequence: int) -> TimelineEntry | None:
        index = bisect_right(self.entries, sequence, key=lambda entry: entry.sequence)
        return self.entries[index] if index < len(self.entries) else None

    def extend(self, entries: Sequence[TimelineEntry]) -> None:
        self.entries.extend(entries)
        for follower in self.followers:
            follower.look()


class FollowingTimeline(Following[TimelineEntry]):
    """The entries of a timeline behind one sequence, each once and in order, until the final one."""

    def __init__(self, timeline: Timeline, after: int, leave: Callable[[], None]) -> None:
        super().__init__(timeline.followers, ORDER_WATCHERS, leave)
        self._timeline = timeline
        self._after = after

    @property
    def is_complete(self) -> bool:
        """Whether the final entry was given, or known before."""
        return ends_by(self._timeline.entries, self._after)

    def take(self) -> TimelineEntry | None:
        entry = self._timeline.after(self._after)
        if entry is not None:
            self._after = entry.sequence
        return entry


class OrderFeed:
    """What one process knows of the orders that are watched through it."""

    def __init__(self, events: OrderEvents) -> None:
        self._events = events
        self._timelines: dict[str, Timeline] = {}
        self._unread: set[str] = set()
        self._news = asyncio.Event()

    @contextmanager
    def follow(self, order_id: str, after: int) -> Iterator[FollowingTimeline]:
        """The order's entries with a sequence above `after`, those of the past and those to come, while this is open.

        The order need not be in our books yet. While Postgres is away nothing comes; what was missed comes afterwards.
        """
        timeline = self._timelines.get(order_id)
        if timeline is None:
            timeline = self._timelines[order_id] = Timeline()
            self._changed(order_id)
        following = FollowingTimeline(timeline, after, partial(self._forget_unfollowed, order_id))
        try:
            yield following
        finally:
            following.close()

    async def run(self) -> None:
        """Read what is told until cancelled; an outage of Postgres is waited out."""
        is_away = False
        while True:
            try:
                async with self._events.listening(self._told, self._news.set) as connection:
                    if is_away:
                        log.info("order events are read again")
                    is_away = False
                    # What was told while nobody listened is lost.
                    self._unread.update(self._timelines)
                    await self._read_on(connection)
            except Exception as error:
                # Whatever it is, who watches waits, and nothing is lost but time.
                if not is_away:
                    log.warning("order events cannot be read", exc_info=error)
                is_away = True
            await asyncio.sleep(TRY_AGAIN_AFTER_S)

    def _forget_unfollowed(self, order_id: str) -> None:
        if not self._timelines[order_id].followers:
            del self._timelines[order_id]

    def _told(self, order_id: str) -> None:
        if order_id in self._timelines:
            self._changed(order_id)

    def _changed(self, order_id: str) -> None:
        self._unread.add(order_id)
        self._news.set()

    async def _read_on(self, connection: ListeningConnection) -> None:
        """Read what is told, and look by ourselves at times, until the connection ends."""
        loop = asyncio.get_running_loop()
        next_look = loop.time() + LOOK_EVERY_S
        while not connection.is_closed:
            self._news.clear()
            await self._read(connection)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_look):
                    await self._news.wait()
            if loop.time() >= next_look:
                self._unread.update(self._timelines)
                next_look = loop.time() + LOOK_EVERY_S

    async def _read(self, connection: ListeningConnection) -> None:
        """Read on in the timelines that may have grown. Those of this moment: one that is watched anew is read anew."""
        order_ids, self._unread = self._unread, set()
        timelines = {order_id: self._timelines[order_id] for order_id in order_ids if order_id in self._timelines}
        if not timelines:
            return
        found = await connection.beyond({order_id: timelines[order_id].last_sequence for order_id in timelines})
        for order_id, rows in found.items():
            self._extend(order_id, timelines[order_id], rows)

    def _extend(self, order_id: str, timeline: Timeline, rows: Sequence[Mapping[str, Any]]) -> None:
        try:
            timeline.extend(_ENTRIES.validate_python(rows))
        except ValidationError:
            # A newer worker wrote it. Only those who watch this order are told less than they want.
            log.exception("an order event that this release does not know", order_id=order_id)
            for follower in tuple(timeline.followers):
                follower.close()


@asynccontextmanager
async def running_feed(events: OrderEvents) -> AsyncIterator[OrderFeed]:
    """A feed that is kept up to date while this is open."""
    feed = OrderFeed(events)
    reading = asyncio.create_task(feed.run())
    try:
        yield feed
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
