"""An order's timeline, told to one client: as server-sent events, or over a WebSocket.

Whoever reads too slowly is dropped, and may come back for the rest: what happens to an order waits for nobody.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import structlog
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.connections import Connection
from api.metrics import ORDER_WATCHERS_DROPPED
from api.order_feed import Following, OrderFeed
from contracts.orders import TimelineEntry

HEARTBEAT_EVERY_S = 15.0
# How long a client may take none of what is sent to it. Until it blocks, its connection's buffers hold whole timelines.
READ_WITHIN_S = 10.0
NORMAL_CLOSURE, POLICY_VIOLATION = 1000, 1008

log = structlog.get_logger()

Render = Callable[[TimelineEntry], str]


class Watchdog:
    """Ends one client's stream, also while it blocks: nothing that waits for the client is waited for."""

    def __init__(self, following: Following, connection: Connection) -> None:
        self._following = following
        self._connection = connection
        self._is_sending = False
        self.is_expired = False

    @contextmanager
    def on_guard(self, until: float) -> Iterator[None]:
        """Has the stream end when the server shuts down, and at `until`, in seconds since the epoch."""
        timer = asyncio.get_running_loop().call_later(max(0.0, until - time.time()), self._expire)
        try:
            with self._connection.leaving(self.end):
                yield
        finally:
            timer.cancel()

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Bounds what is sent inside; a stream that is ended meanwhile is broken off, and the send returns."""
        timer = asyncio.get_running_loop().call_later(READ_WITHIN_S, self._drop)
        self._is_sending = True
        try:
            yield
        finally:
            self._is_sending = False
            timer.cancel()

    def end(self) -> None:
        """Free the client's place. Its connection is broken off if it blocks, and otherwise ends in good order."""
        self._following.close()
        if self._is_sending:
            self._connection.abort()

    def _expire(self) -> None:
        self.is_expired = True
        self.end()

    def _drop(self) -> None:
        ORDER_WATCHERS_DROPPED.inc()
        log.info("dropped a watcher that reads too slowly")
        self.end()


class TimelineResponse(EventSourceResponse):
    """An order's entries above `after`, each an event whose id is its sequence and whose data `render` makes.

    It ends after the final one, or at `until` (seconds since the epoch), when whoever asked for it has to ask again.
    """

    def __init__(
        self, feed: OrderFeed, order_id: str, after: int, until: float, render: Render = TimelineEntry.model_dump_json
    ) -> None:
        # nginx would keep events back to send them together.
        super().__init__(self._events(), headers={"X-Accel-Buffering": "no"})
        self._follow = feed.follow(order_id, after)
        self._until = until
        self._render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Here and not in the generator, which nobody closes at once when the client has gone.
        with self._follow as self._entries:
            watchdog = Watchdog(self._entries, Connection.of(scope))

            async def bounded_send(message: Message) -> None:
                with watchdog.sending():
                    await send(message)

            with watchdog.on_guard(self._until):
                await super().__call__(scope, receive, bounded_send)

    async def _events(self) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_EVERY_S):
                    entry = await anext(self._entries)
            except TimeoutError:
                yield KEEPALIVE_COMMENT
            except StopAsyncIteration:
                return
            else:
                yield format_sse_event(data_str=self._render(entry), id=str(entry.sequence))


async def tell_over(websocket: WebSocket, feed: OrderFeed, order_id: str, after: int, until: float) -> None:
    """Accept, and send the order's entries above `after`, a JSON text each.

    Closes with 1000 after the final one, and with 1008 (policy violation) at `until`, in seconds since the epoch.
    """
    await websocket.accept()
    with feed.follow(order_id, after) as entries:
        watchdog = Watchdog(entries, Connection.of(websocket.scope))
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(_end_when_left(websocket, watchdog))
            try:
                with watchdog.on_guard(until):
                    async for entry in entries:
                        with watchdog.sending():
                            await websocket.send_text(entry.model_dump_json())
                with watchdog.sending():
                    if entries.is_complete:
                        await websocket.close(NORMAL_CLOSURE)
                    elif watchdog.is_expired:
                        await websocket.close(POLICY_VIOLATION, "the token has expired")
            except WebSocketDisconnect:
                # It left, or was dropped, while this was on its way.
                pass
            finally:
                listening.cancel()


async def _end_when_left(websocket: WebSocket, watchdog: Watchdog) -> None:
    """Ignore what the client says until it leaves, or the server does."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass
    watchdog.end()
