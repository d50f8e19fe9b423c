"""Server-sent events for one client.

Whoever reads too slowly is dropped, and may come back for the rest: what happens waits for nobody.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Generic, Protocol, TypeVar

import structlog
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse
from prometheus_client import Counter
from pydantic import BaseModel
from starlette.types import Message, Receive, Scope, Send

from api.connections import Connection

HEARTBEAT_EVERY_S = 15.0
# How long a client may take none of what is sent to it. Until it blocks, its connection's buffers hold whole timelines.
READ_WITHIN_S = 10.0
COME_BACK_AFTER_MS = (500, 3_000)

log = structlog.get_logger()

News = TypeVar("News", covariant=True)
Held = TypeVar("Held", bound="Place[object]")


def events_of(news: type[BaseModel], *, event_id: str, data: str) -> dict[str, Any]:
    """The content of a stream for OpenAPI, with an example: each event's data is this model as JSON."""
    as_json = {
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": f"#/components/schemas/{news.__name__}"},
    }
    # A stream has no schema of its own before OpenAPI 3.2, which has `itemSchema`: until then it is that of each event.
    event = {
        "type": "object",
        "required": ["id", "data"],
        "properties": {"id": {"type": "string"}, "data": {"type": "string", **as_json}},
    }
    return {"text/event-stream": {"schema": event, "example": {"id": event_id, "data": data}}}


class Place(Protocol[News]):
    """One watcher's place at what it watches. Its news end when there is no more, or when it is closed.

    A `next` that is cancelled takes nothing: the same comes again.
    """

    async def __anext__(self) -> News: ...

    def close(self) -> None: ...


class Watchdog:
    """Ends one client's stream, also while it blocks: nothing that waits for the client is waited for."""

    def __init__(self, place: Place[object], connection: Connection, dropped: Counter) -> None:
        self._place = place
        self._connection = connection
        self._dropped = dropped
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
        self._place.close()
        if self._is_sending:
            self._connection.abort()

    def _expire(self) -> None:
        self.is_expired = True
        self.end()

    def _drop(self) -> None:
        self._dropped.inc()
        log.info("dropped a watcher that reads too slowly")
        self.end()


def _come_back() -> bytes:
    """Has a client whose server stops connect again soon, and not all of them in the same moment (HTML, 9.2.6)."""
    return f"retry: {random.randint(*COME_BACK_AFTER_MS)}\n\n".encode()  # noqa: S311  # no secret


class EventStream(EventSourceResponse, Generic[Held]):
    """Each of a place's news as the event that `render` makes of it, and a comment every 15 s without.

    It ends when there is no more, or at `until` (seconds since the epoch), when whoever asked for it has to ask again.
    """

    def __init__(
        self, follow: AbstractContextManager[Held], render: Callable[[Any], bytes], until: float, dropped: Counter
    ) -> None:
        # nginx would keep events back to send them together.
        super().__init__(self._events(), headers={"X-Accel-Buffering": "no"})
        self._follow = follow
        self._render = render
        self._until = until
        self._dropped = dropped

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Here and not in the generator, which nobody closes at once when the client has gone.
        with self._follow as self._place:
            self._connection = Connection.of(scope)
            watchdog = Watchdog(self._place, self._connection, self._dropped)

            async def bounded_send(message: Message) -> None:
                with watchdog.sending():
                    await send(message)

            with watchdog.on_guard(self._until):
                await super().__call__(scope, receive, bounded_send)

    async def _events(self) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_EVERY_S):
                    news = await self._place.__anext__()
            except TimeoutError:
                yield KEEPALIVE_COMMENT
            except StopAsyncIteration:
                if self._connection.is_leaving:
                    yield _come_back()
                return
            else:
                yield self._render(news)
