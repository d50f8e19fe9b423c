"""Pages as they change: server-sent events whose data is what to show, written by the same templates."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Annotated

from fastapi import Depends, Header, Query
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from api.auth import Principal
from api.event_streams import HEARTBEAT_EVERY_S
from api.order_feed import OrderFeed
from api.order_reading import OrderReader
from api.order_streams import TimelineResponse
from api.outages import Unreachable
from api.sessions import Session
from contracts.orders import Order, TimelineEntry

# What the page's script wants to see in an event that says all by its name.
NOTHING = "-"
TIMER_MAY_BE_EARLY_S = 1

MAX_SEQUENCE = 1_000_000

# Writes the order as it is, and what is new of its timeline.
Write = Callable[[Order, list[TimelineEntry]], Awaitable[str]]


async def _last_shown(
    after: Annotated[int, Query(ge=0, le=MAX_SEQUENCE)] = 0,
    last_event_id: Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=MAX_SEQUENCE)] = None,
) -> int:
    return after if last_event_id is None else last_event_id


# The sequence of the last entry that the page of an order shows.
LastShown = Annotated[int, Depends(_last_shown)]


def farewell(session: Session, *, is_complete: bool = False) -> Iterator[bytes]:
    """What a stream says at its end: `expired` when the session is over, and `end` when nothing is to come back for."""
    has_expired = session.lasts_s <= TIMER_MAY_BE_EARLY_S
    if has_expired:
        yield format_sse_event(event="expired", data_str=NOTHING)
    if has_expired or is_complete:
        yield format_sse_event(event="end", data_str=NOTHING)


class OrderPageResponse(TimelineResponse):
    """Events named `order` with the order as it then is, for the entries above `after`; their ids are sequences.

    `end` comes when there is nothing to come back for: after the final one, and after `expired`, when the session has
    ended. A stream that ends without it is worth a reconnect.
    """

    def __init__(
        self,
        feed: OrderFeed,
        reader: OrderReader,
        session: Session,
        caller: Principal,
        order_id: str,
        after: int,
        write: Write,
    ) -> None:
        super().__init__(feed, order_id, after, until=session.expires_at)
        self._reader = reader
        self._session = session
        self._caller = caller
        self._order_id = order_id
        self._shown = after
        self._write = write

    async def _events(self) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_EVERY_S):
                    entry = await anext(self._place)
                if entry.sequence > self._shown:
                    yield await self._order()
            except TimeoutError:
                yield KEEPALIVE_COMMENT
            except StopAsyncIteration:
                break
            except Unreachable:
                return
        for event in farewell(self._session, is_complete=self._place.is_complete):
            yield event

    async def _order(self) -> bytes:
        """The order as our books have it, which is at least as the entry at hand says. Raises Unreachable."""
        order = (await self._reader.known(self._caller, self._order_id)).order
        news = [entry for entry in order.timeline if entry.sequence > self._shown]
        self._shown = order.timeline[-1].sequence
        return format_sse_event(event="order", data_str=await self._write(order, news), id=str(self._shown))
