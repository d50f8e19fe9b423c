"""One dead receiver delays no other: `python -m benchmarks.webhooks`.

A hundred events for ten endpoints are a thousand deliveries, with ten good receivers, and with three bad ones among
them: one that never answers, one that answers 500, one that answers 410. Compared is how long after its event a message
reaches one of the seven that are good both times. Prints a table, writes JSON.
"""

import asyncio
import json
import socket
import statistics
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvloop
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.running import running_stack
from contracts.webhooks import WebhookEvent
from database.engine import create_engine
from database.outbox import tell
from database.webhook_endpoints import EndpointRepository
from providers.webhook_signing import new_secret

EVENTS = 100
GOOD = 7
BAD = ("hanging", "500", "410")
ROUNDS = 3
# In a burst every delivery waits for the processor, and little else shows; paced, what waits waits for a receiver.
LOADS: Mapping[str, float] = {"paced, 20 deliveries/s": 0.5, "burst": 0.0}
ARRIVES_WITHIN_S = 90.0
# By then the attempts that found their endpoint busy have come back, and found it gone.
SETTLES_S = 35.0
RESULTS = Path(__file__).with_name("webhooks.json")


class Receiver:
    """Answers with one status, or never; keeps how long after its event each message came, in seconds."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.took_s: list[float] = []
        self.closing = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            event = json.loads(await reader.readexactly(length))
            self.took_s.append((datetime.now(UTC) - datetime.fromisoformat(event["timestamp"])).total_seconds())
            if self.kind == "hanging":
                await self.closing.wait()
            else:
                writer.write(f"HTTP/1.1 {self.kind} Status\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        writer.close()


@asynccontextmanager
async def receivers(kinds: list[str], addresses: list[str]) -> AsyncIterator[list[Receiver]]:
    """A receiver of each kind, at these addresses."""
    async with AsyncExitStack() as open_servers:
        opened = [Receiver(kind) for kind in kinds]
        for receiver, host in zip(opened, addresses, strict=True):
            address, _, port = host.rpartition(":")
            server = await asyncio.start_server(receiver.serve, address, int(port), backlog=500)
            open_servers.callback(server.close)
        yield opened
        for receiver in opened:
            receiver.closing.set()


async def run(engine: AsyncEngine, hosts: list[str], bad: tuple[str, ...], every_s: float) -> list[float]:
    """How long each message to the good receivers took, in seconds."""
    owner = f"bench-{uuid4().hex}"
    endpoints = EndpointRepository(engine)
    kinds = [*bad, *["200"] * (GOOD + len(BAD) - len(bad))]
    async with receivers(kinds, hosts) as opened:
        made = [
            await endpoints.create(
                owner=owner, url=f"http://{host}/", event_types=["*"], description=None, secret=new_secret()
            )
            for host in hosts
        ]
        for number in range(EVENTS):
            event = WebhookEvent(
                type="order.completed", id=f"{owner}-{number}", status="completed", at=datetime.now(UTC), owner=owner
            )
            async with engine.begin() as connection:
                await tell(connection, event)
            await asyncio.sleep(every_s)
        good = opened[len(BAD) :]
        async with asyncio.timeout(ARRIVES_WITHIN_S):
            while any(len(receiver.took_s) < EVENTS for receiver in good):
                await asyncio.sleep(0.05)
        for endpoint in made:
            await endpoints.delete(endpoint.id)
        await asyncio.sleep(SETTLES_S if bad else 3)
        return [took_s for receiver in good for took_s in receiver.took_s]


async def compare(stack: Mapping[str, Any], hosts: list[str]) -> dict[str, Any]:
    """Rounds of both in turn, so that a change of the machine's speed meets both."""
    engine = create_engine(stack["database_url"], connections=2, application_name="followthrough benchmark")
    found: dict[str, Any] = {}
    try:
        await run(engine, hosts, (), 0.0)  # warms up
        for load, every_s in LOADS.items():
            rounds = [
                (_figures(await run(engine, hosts, (), every_s)), _figures(await run(engine, hosts, BAD, every_s)))
                for _ in range(ROUNDS)
            ]
            found[load] = {
                "well": [well for well, _ in rounds],
                "troubled": [troubled for _, troubled in rounds],
                "p99_ratio": round(
                    statistics.median(troubled["p99_ms"] / well["p99_ms"] for well, troubled in rounds), 2
                ),
            }
    finally:
        await engine.dispose()
    return found


def _figures(took_s: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(took_s, n=100)
    return {"p50_ms": round(cuts[49] * 1_000, 1), "p99_ms": round(cuts[98] * 1_000, 1)}


def main() -> None:
    with closing(socket.create_server(("127.78.0.1", 0))) as free:
        port = free.getsockname()[1]
    hosts = [f"127.78.0.{number}:{port}" for number in range(1, GOOD + len(BAD) + 1)]
    with running_stack("--without", "api", FOLLOWTHROUGH_WEBHOOKS_ALLOWED_HOSTS=",".join(hosts)) as (_, stack):
        found = uvloop.run(compare(stack, hosts))
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    table = Table("load", "ms to a good receiver", "p50", "p99", title="1,000 deliveries to ten receivers")
    for load, figures in found.items():
        for name in ("well", "troubled"):
            medians = [statistics.median(one[cut] for one in figures[name]) for cut in ("p50_ms", "p99_ms")]
            table.add_row(load, name, *(f"{value:.0f}" for value in medians))
        table.add_row(load, "ratio of p99", "", str(figures["p99_ratio"]))
    Console().print(table)


if __name__ == "__main__":
    main()
