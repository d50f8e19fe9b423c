"""Answers of any length, sent as fast as their readers take them."""

import asyncio

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from api.connections import Connection

# How long a client may take none of what is sent to it.
READ_WITHIN_S = 10.0
# How long an answer may go on when the server shuts down.
LEAVE_WITHIN_S = 3.0

log = structlog.get_logger()


class PacedAnswer(StreamingResponse):
    """Drops a client that takes nothing for a while, and one that is not done soon after a shutdown has begun."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = Connection.of(scope)
        later = asyncio.get_running_loop().call_later

        def leave() -> None:
            later(LEAVE_WITHIN_S, connection.abort)

        async def bounded_send(message: Message) -> None:
            timer = later(READ_WITHIN_S, _drop, connection)
            try:
                await send(message)
            finally:
                timer.cancel()

        with connection.leaving(leave):
            await super().__call__(scope, receive, bounded_send)


def _drop(connection: Connection) -> None:
    log.info("dropped a client that reads too slowly")
    connection.abort()
