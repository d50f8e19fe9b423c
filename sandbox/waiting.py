"""Delays and silences that end at once when the process is told to stop."""

import asyncio
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response


class Waiting:
    """Every deliberate wait of the process."""

    def __init__(self) -> None:
        self._stopping = asyncio.Event()

    def end(self) -> None:
        """Wake everything that waits: the process is stopping."""
        self._stopping.set()

    async def delay(self, seconds: float) -> None:
        """Wait before doing the work. When the process stops, the work is done right away."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def is_stopping_within(self, seconds: float) -> bool:
        """Wait, and say whether the process stops meanwhile: what comes after is then left undone."""
        await self.delay(seconds)
        return self._stopping.is_set()

    async def silence(self, request: Request, seconds: float) -> Response:
        """Answer nothing until the client goes away.

        A client that outlasts `seconds` gets the 504 of a gateway: ASGI has no way to close a connection unanswered.
        """
        waits = {asyncio.ensure_future(_gone(request)), asyncio.ensure_future(self._stopping.wait())}
        _, pending = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in pending:
            wait.cancel()
        return Response(status_code=504)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
