"""Who sends or reads too slowly, or too much before it is known who calls, loses the connection. On real sockets."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect

from api.connections import HttpProtocol, WebSocketProtocol

LIMIT_S = 0.3
DRIP_S = 0.05
WITHIN_S = 10.0
MEGABYTE = b"x" * 1024 * 1024
CODES = {400: "request_malformed", 408: "request_too_slow", 431: "headers_too_large"}


class Impatient(HttpProtocol):
    """The protocol of production, which gives clients a hundredth of the time."""

    head_within_s = body_within_s = read_within_s = LIMIT_S


@dataclass
class Server:
    """Reads every body whole before it answers, but for /early; /large is more than sockets hold, /long outlasts."""

    port: int = 0
    reached: list[str] = field(default_factory=list)
    over: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"]})
            return
        path = scope["path"]
        try:
            await self._answer(path, receive, send)
        finally:
            self.over.append(path)

    async def _answer(self, path: str, receive: Receive, send: Send) -> None:
        more = path != "/early"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            more = message.get("more_body", False)
        self.reached.append(path)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if path == "/large":
            for _ in range(64):
                await send({"type": "http.response.body", "body": MEGABYTE, "more_body": True})
        if path == "/long":
            for _ in range(10):
                await asyncio.sleep(LIMIT_S / 4)
                await send({"type": "http.response.body", "body": b".", "more_body": True})
        await send({"type": "http.response.body", "body": b"done"})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    app = Server()
    config = uvicorn.Config(app, port=0, http=Impatient, ws=WebSocketProtocol, log_config=None, lifespan="off")
    async with running(config) as app.port:
        yield app


@asynccontextmanager
async def running(config: uvicorn.Config) -> AsyncIterator[int]:
    """A server in this loop; yields its port."""
    served = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(served.serve([listening]))
    try:
        yield listening.getsockname()[1]
    finally:
        served.should_exit = served.force_exit = True
        await serving
        listening.close()


async def told(server: Server, *first: bytes, drip: bytes = b"") -> bytes:
    """All that a client hears that sends this at once, and then a drop every now and then, until it is cut off."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

    async def dripping() -> None:
        with suppress(ConnectionError):
            while drip:
                writer.write(drip)
                await writer.drain()
                await asyncio.sleep(DRIP_S)

    writer.write(b"".join(first))
    sending = asyncio.create_task(dripping())
    try:
        async with asyncio.timeout(WITHIN_S):
            return await until_cut_off(reader)
    finally:
        sending.cancel()
        writer.close()


async def until_cut_off(reader: asyncio.StreamReader) -> bytes:
    heard = b""
    with suppress(ConnectionError):
        while chunk := await reader.read(65_536):
            heard += chunk
    return heard


def assert_refused(heard: bytes, status: int) -> None:
    head, _, body = heard.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), heard
    headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"content-security-policy"].startswith(b"default-src 'none'")
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"connection"] == b"close"
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (status, CODES[status])
    assert problem["request_id"] == headers[b"x-request-id"].decode()


async def test_headers_that_trickle_are_cut_off(server: Server) -> None:
    assert_refused(await told(server, b"GET / HTTP/1.1\r\nHost: a\r\n", drip=b"X-Slow: 1\r\n"), 408)
    assert_refused(await told(server, b"GET / HT"), 408)
    assert server.reached == []


async def test_who_connects_and_says_nothing_is_cut_off(server: Server) -> None:
    assert await told(server) == b""


@pytest.mark.parametrize("before", [b"", b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n"], ids=["fresh", "after a request"])
async def test_empty_lines_do_not_keep_a_connection(server: Server, before: bytes) -> None:
    heard = await told(server, before, drip=b"\r\n")

    assert heard.count(b"HTTP/1.1 200") == (1 if before else 0)


async def test_a_body_that_trickles_is_cut_off_before_its_request_is_handled(server: Server) -> None:
    length = b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
    chunks = b"POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

    assert_refused(await told(server, length, drip=b"x"), 408)
    assert_refused(await told(server, chunks, drip=b"1\r\nx\r\n"), 408)
    assert server.reached == []
    assert server.over == ["/slow", "/slow"]


async def test_a_body_that_nobody_reads_any_more_does_not_keep_a_connection(server: Server) -> None:
    heard = await told(server, b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", drip=b"x")

    assert heard.startswith(b"HTTP/1.1 200")
    assert b"408" not in heard


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 70_000,
        b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 70_000,
        b"GET / HTTP/1.1\r\n" + b"X-Many: 1\r\n" * 7_000,
    ],
    ids=["line", "header", "headers"],
)
async def test_endless_headers_are_refused(server: Server, head: bytes) -> None:
    assert_refused(await told(server, head), 431)
    assert server.reached == []


async def test_what_is_no_http_is_refused_as_hardened_as_any_answer(server: Server) -> None:
    assert_refused(await told(server, b"\x16\x03\x01 hello\r\n\r\n"), 400)


async def test_an_answer_that_lies_unread_is_broken_off(server: Server) -> None:
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=4_096)
    writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")

    async with asyncio.timeout(WITHIN_S):
        while "/large" not in server.over:
            await asyncio.sleep(DRIP_S)

    assert len(await until_cut_off(reader)) < 64 * len(MEGABYTE)
    writer.close()


async def test_whoever_keeps_up_may_take_longer_than_any_limit(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    long = b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n"
    last = b"POST /last HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\nConnection: close\r\n\r\n" + b"x" * 200_000
    writer.write(long)
    assert b"done" in await reader.readuntil(b"0\r\n\r\n")
    # Between requests it is uvicorn that counts.
    await asyncio.sleep(2 * LIMIT_S)
    # One after the other, sent at once: the second one waits for the first one's answer.
    writer.write(long + last)
    async with asyncio.timeout(WITHIN_S):
        heard = await until_cut_off(reader)
    writer.close()

    assert heard.count(b"HTTP/1.1 200") == 2
    assert server.reached == ["/long", "/long", "/last"]


async def test_a_websocket_outlasts_the_limits(server: Server) -> None:
    async with connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as websocket:
        for _ in range(2):
            await asyncio.sleep(2 * LIMIT_S)
            await websocket.send("still here")
            assert await websocket.recv() == "still here"


def test_the_limits_are_those_that_are_documented() -> None:
    promised = " ".join((Path(__file__).parents[3] / "docs" / "security.md").read_text().split())

    assert f"headers within {HttpProtocol.head_within_s:g} s" in promised
    assert f"the body within {HttpProtocol.body_within_s:g} s" in promised
    assert f"unread for {HttpProtocol.read_within_s:g} s" in promised
    assert f"{HttpProtocol.max_head_bytes // 1024} KiB of headers" in promised
