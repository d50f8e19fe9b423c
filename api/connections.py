"""uvicorn's protocols, extended by what it lacks.

What an answer without an end needs: to hear of a shutdown, and to break off (docs/decisions/streams-to-clients.md). And
an end to a client's time, which uvicorn bounds between requests alone: who sends or reads too slowly would keep a
connection for ever (docs/security.md).
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Self
from uuid import uuid4

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from api.errors import HeadersTooLarge, Problem, RequestMalformed, RequestTooSlow

# An extension of ASGI, of our own.
EXTENSION = "followthrough.connection"
KIB = 1024
# An answer that no route gives, and nothing of ours has looked at.
REFUSAL = (
    "HTTP/1.1 {status} {phrase}\r\n"
    "content-type: application/problem+json\r\n"
    "content-length: {length}\r\n"
    "connection: close\r\n"
    "x-request-id: {request_id}\r\n"
    "cache-control: no-store\r\n"
    "x-content-type-options: nosniff\r\n"
    "content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n"
    "\r\n{body}"
)


class Connection:
    """What lies under an answer. Of a server that is not ours nothing is heard, and nothing is broken off there."""

    def __init__(self, abort: Callable[[], None] = lambda: None) -> None:
        self.abort = abort
        self._leave: Callable[[], None] | None = None
        self.is_leaving = False

    @classmethod
    def of(cls, scope: Scope) -> Self:
        found: Self | None = scope.get("extensions", {}).get(EXTENSION, {}).get("connection")
        return found or cls()

    @contextmanager
    def leaving(self, leave: Callable[[], None]) -> Iterator[None]:
        """Have `leave` called when the server shuts down while this is open, or when it does so already."""
        if self.is_leaving:
            leave()
        self._leave = leave
        try:
            yield
        finally:
            self._leave = None

    def leave(self) -> None:
        self.is_leaving = True
        if self._leave is not None:
            self._leave()


class HttpProtocol(HttpToolsProtocol):
    """HTTP/1.1. uvicorn itself tells no answer under way of a shutdown; it waits, and then cancels."""

    # From the connection, or the first byte of a request, to the end of its headers; from there to its last byte; and
    # how long an answer may lie unread.
    head_within_s = 10.0
    body_within_s = 30.0
    read_within_s = 30.0
    # Of request line and headers. Proxies take 8 to 32 KiB.
    max_head_bytes = 64 * KIB

    connection: Connection
    _head_bytes = 0
    _in_head = True
    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.connection = Connection(transport.abort)
        self._expect_within(self.head_within_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        if self._head_bytes > self.max_head_bytes:
            self._refuse(HeadersTooLarge())
        elif self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            # Empty lines before a request are skipped unseen, and yet end the wait for the next one.
            self._expect_within(self.head_within_s)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"connection": self.connection}}
        self._expect_within(self.head_within_s)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._expect_within(self.body_within_s)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._expect_nothing()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        # The connection is another protocol's from now on.
        self._in_head = False
        self._expect_nothing()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        self._refuse(RequestMalformed())

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.read_within_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def timeout_keep_alive_handler(self) -> None:
        # Closing waits until all is read.
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def shutdown(self) -> None:
        super().shutdown()
        self.connection.leave()

    def _expect_within(self, seconds: float) -> None:
        self._expect_nothing()
        self._deadline = self.loop.call_later(seconds, self._has_waited)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _has_waited(self) -> None:
        self._deadline = None
        if self.flow.read_paused:
            # It is we who don't read: another request, sent before this one, is being answered.
            self._expect_within(self.body_within_s)
        elif self._in_head and self._head_bytes == 0:
            self.transport.close()
        else:
            self._refuse(RequestTooSlow())

    def _refuse(self, problem: Problem) -> None:
        """Answer, where no answer has begun, and close."""
        self._expect_nothing()
        if self.transport.is_closing():
            return
        can_answer = self.cycle is None or self.cycle.response_complete
        if not self._in_head:
            can_answer = not self.cycle.response_started
        if not can_answer:
            self.transport.abort()
            return
        request_id = uuid4().hex
        body = json.dumps(problem.body(request_id))
        phrase = HTTPStatus(problem.status).phrase
        answer = REFUSAL.format(
            status=problem.status, phrase=phrase, request_id=request_id, length=len(body), body=body
        )
        self.transport.write(answer.encode("ascii"))
        self.transport.close()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket. At a shutdown uvicorn itself closes it, with 1012 (service restart)."""

    async def run_asgi(self) -> None:
        self.scope["extensions"] = {
            **(self.scope["extensions"] or {}),
            EXTENSION: {"connection": Connection(self.transport.abort)},
        }
        await super().run_asgi()
