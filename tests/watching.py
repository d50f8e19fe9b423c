"""Those who watch an order: as a browser's EventSource does, and over a WebSocket."""

import asyncio
import json
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from stack.home import Home
from stack.tokens import sign_token
from tests.acceptance.client import Caller
from tests.stack_session import RunningStack

Entry = dict[str, Any]
# More than there is between two heartbeats.
SILENT_FOR_S = 30.0
EXPIRES_IN_S = 2
WATCHERS = "followthrough_order_watchers"
DROPPED = "followthrough_order_watchers_dropped_total"


@dataclass(frozen=True)
class Event:
    """A server-sent event without a name: a browser hands it to `onmessage`."""

    id: str
    entry: Entry


class Stream:
    """What a server sends to one who watches, as it comes."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()
        # What the server said of when to come back, in milliseconds.
        self.retry_ms: int | None = None

    async def events(self, until: str | None = None) -> list[Event]:
        """The events from here to the end, or to the first of this type, or of this status."""
        found = []
        async for event in self._events():
            found.append(event)
            if until is not None and until in (event.entry.get("type"), event.entry.get("status")):
                break
        return found

    async def first(self) -> Event:
        """The next event."""
        async for event in self._events():
            return event
        raise AssertionError("the stream ended without an event")

    async def comment(self) -> None:
        """Wait for a comment."""
        async for line in self._lines:
            if line.startswith(":"):
                return
        raise AssertionError("the stream ended without a comment")

    async def _events(self) -> AsyncIterator[Event]:
        fields: dict[str, str] = {}
        async for line in self._lines:
            if line.startswith(":"):
                continue
            if line.startswith("retry: "):
                self.retry_ms = int(line.removeprefix("retry: "))
            elif line:
                name, _, value = line.partition(": ")
                assert name in ("id", "data"), line
                assert name not in fields, line
                fields[name] = value
            elif fields:
                yield Event(fields["id"], json.loads(fields["data"]))
                fields = {}
        assert not fields, "the stream ended within an event"


@asynccontextmanager
async def watching(caller: Caller, order_id: str, last_event_id: str | None = None) -> AsyncIterator[Stream]:
    async with watching_path(caller, f"/v1/orders/{order_id}/events", last_event_id) as stream:
        yield stream


@asynccontextmanager
async def watching_path(caller: Caller, path: str, last_event_id: str | None = None) -> AsyncIterator[Stream]:
    headers = caller.headers | ({} if last_event_id is None else {"Last-Event-ID": last_event_id})
    async with caller.http.stream("GET", path, headers=headers, timeout=SILENT_FOR_S) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Stream(response)


async def all_events(caller: Caller, order_id: str, last_event_id: str | None = None) -> list[Entry]:
    """Everything after that event, to the end of the stream; each event's id is its sequence."""
    async with watching(caller, order_id, last_event_id) as stream:
        return entries_of(await stream.events())


def entries_of(events: list[Event]) -> list[Entry]:
    assert [event.id for event in events] == [str(event.entry["sequence"]) for event in events]
    return [event.entry for event in events]


def short_lived(stack: RunningStack, caller: Caller) -> Caller:
    """The same caller with a token that expires in a moment."""
    return short_lived_of(stack, caller, "orders:read")


def short_lived_of(stack: RunningStack, caller: Caller, scope: str) -> Caller:
    again = Caller(caller.http, stack, caller.subject)
    token = sign_token(Home(stack.home), caller.subject, [scope], EXPIRES_IN_S)
    again.headers = {"Authorization": f"Bearer {token}"}
    return again


async def _narrow_socket(caller: Caller) -> socket.socket:
    raw = socket.socket()
    # Set before it connects, it also keeps the kernel from growing it.
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.setblocking(False)
    url = caller.http.base_url
    await asyncio.get_running_loop().sock_connect(raw, (url.host, url.port))
    return raw


async def raw_stream(caller: Caller, order_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A stream whose client takes next to nothing by itself: what is not read stays with the server."""
    return await raw_get(caller, f"/v1/orders/{order_id}/events")


async def raw_get(caller: Caller, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An answer's body, whose client takes next to nothing by itself."""
    reader, writer = await asyncio.open_connection(sock=await _narrow_socket(caller), limit=4_096)
    lines = [f"GET {path} HTTP/1.1", "Host: test"]
    lines += [f"{name}: {value}" for name, value in caller.headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def reset(writer: asyncio.StreamWriter) -> None:
    """Leave as a client that crashes: with a reset, and no farewell."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def live(caller: Caller, order_id: str, query: str = "", **options: Any) -> connect:
    """A WebSocket to this order."""
    url = str(caller.http.base_url.join(f"/v1/orders/{order_id}/live{query}")).replace("http", "ws", 1)
    return connect(url, additional_headers=caller.headers, proxy=None, **options)


async def idle_live(caller: Caller, order_id: str) -> ClientConnection:
    """A WebSocket whose client takes one message by itself, and no more."""
    return await live(caller, order_id, sock=await _narrow_socket(caller), max_queue=1, ping_interval=None)


async def all_messages(websocket: ClientConnection) -> list[Entry]:
    """Every message until the server closes in good order."""
    return [json.loads(message) async for message in websocket]


async def metric(stack: RunningStack, name: str) -> float:
    """What the API's metrics say."""
    async with httpx.AsyncClient() as http:
        text = (await http.get(stack.metrics["api"])).text
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    assert found is not None, f"there is no metric {name}"
    return float(found[1])


class ApiLog:
    """What the API has logged since this was made."""

    def __init__(self, stack: RunningStack) -> None:
        self._path = Home(stack.home).log("api")
        self._begin = self._path.stat().st_size

    def troubles(self) -> list[str]:
        """Lines that tell of an error."""
        return [line for line in self.text().splitlines() if re.search(r'"level": "(error|critical)"|Traceback', line)]

    def text(self) -> str:
        return self._path.read_bytes()[self._begin :].decode()
