"""Receivers that the session's stack may send webhooks to, and what each of them got."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from standardwebhooks import Webhook

WITHIN_S = 30.0
POLL_S = 0.02
RECEIVERS = 200

_numbers = itertools.count(1)


@cache
def _hosts() -> tuple[str, ...]:
    """One port on many addresses of this machine: each receiver has an address that no other had before."""
    with socket.create_server(("127.77.0.1", 0)) as free:
        port = free.getsockname()[1]
    return tuple(f"127.77.0.{number}:{port}" for number in range(1, RECEIVERS + 1))


def allowed_hosts() -> str:
    """What FOLLOWTHROUGH_WEBHOOKS_ALLOWED_HOSTS has to be for these receivers."""
    return ",".join(_hosts())


@dataclass(frozen=True)
class Message:
    """A webhook as it came; its headers by their names in lower case."""

    at: datetime
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """What it says, once the public library has verified it. Raises WebhookVerificationError."""
        payload: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return payload


@dataclass
class Hook:
    """A receiver. It gives its answers one after the other, then the last one for ever."""

    host: str
    answers: list[bytes]
    messages: list[Message] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    # While it is cleared, nobody is answered.
    answering: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/hooks") -> str:
        return f"http://{self.host}{path}"

    async def until(self, found: Callable[[list[Message]], bool]) -> list[Message]:
        """Wait for the messages that came so far to be these."""
        async with asyncio.timeout(WITHIN_S):
            while not found(self.messages):
                await asyncio.sleep(POLL_S)
        return list(self.messages)

    async def until_got(self, count: int) -> list[Message]:
        """The messages once there are as many; there must not be more."""
        messages = await self.until(lambda messages: len(messages) >= count)
        assert len(messages) == count, [message.body for message in messages]
        return messages

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            self.messages.append(await _read_message(reader))
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            try:
                await self.answering.wait()
                writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
                await writer.drain()
            finally:
                self.in_flight -= 1
        writer.close()


def answer(status: int = 200, **headers: str) -> bytes:
    """An answer without a body; `retry_after="5"` becomes a Retry-After header."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status} Status", "Content-Length: 0", *lines, "", ""]).encode()


@asynccontextmanager
async def hook(*answers: bytes) -> AsyncIterator[Hook]:
    """A receiver that the session's stack is allowed to call; it answers 200 unless told otherwise."""
    opened = Hook(_hosts()[next(_numbers)], list(answers) or [answer()])
    opened.answering.set()
    address, _, port = opened.host.rpartition(":")
    server = await asyncio.start_server(opened.serve, address, int(port))
    async with server:
        yield opened
        opened.answering.set()


async def _read_message(reader: asyncio.StreamReader) -> Message:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers["content-length"]))
    return Message(datetime.now(UTC), head[0].split(" ")[1], headers, body)
