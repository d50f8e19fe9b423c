"""uvicorn's protocols, extended by what an answer without an end needs: to hear of a shutdown, and to break off.

docs/decisions/streams-to-clients.md
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# An extension of ASGI, of our own.
EXTENSION = "followthrough.connection"


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

    connection: Connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.connection = Connection(transport.abort)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"connection": self.connection}}

    def shutdown(self) -> None:
        super().shutdown()
        self.connection.leave()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket. At a shutdown uvicorn itself closes it, with 1012 (service restart)."""

    async def run_asgi(self) -> None:
        self.scope["extensions"] = {
            **(self.scope["extensions"] or {}),
            EXTENSION: {"connection": Connection(self.transport.abort)},
        }
        await super().run_asgi()
