"""500 clients watch orders through one API process: `python -m benchmarks.watchers`.

Each client holds one stream of server-sent events, to an order that waits for approval; then the orders are approved,
and run. Measured is how long after its commit an event is with a client. When it was committed Postgres itself says:
pg_xact_commit_timestamp, which is taken before the transaction is flushed to disk, so that this counts too. Prints a
table, writes JSON.
"""

import asyncio
import json
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import httpx
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.running import down, running_stack, up
from stack.home import Home
from stack.tokens import sign_token

WATCHERS = 500
WITHIN_S = 120.0
POLL_S = 0.05
RESULTS = Path(__file__).with_name("watchers.json")
BODY = {
    "lines": [{"sku": "BIKE-CITY", "quantity": 1}],
    "payment_method": "pm_card_visa",
    "ship_to": {"name": "Ada", "line1": "12 Long St", "city": "Oslo", "postal_code": "0150", "country": "NO"},
}


@dataclass(frozen=True)
class Load:
    """How many orders share the watchers, and the seconds between their approvals."""

    name: str
    orders: int
    every_s: float


LOADS = (
    Load("100 orders, 10/s", orders=100, every_s=0.1),
    Load("100 orders at once", orders=100, every_s=0.0),
    Load("one order for all", orders=1, every_s=0.0),
)


@dataclass(frozen=True)
class Figures:
    """Events that came and those there were, for every watcher; streams with each once and in order; delays."""

    delivered: int
    expected: int
    whole_streams: int
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True)
class Seen:
    """An event with a client, and when it came, in seconds since the epoch."""

    order_id: str
    sequence: int
    at: float


class Watcher:
    """One stream, read by a bare client: it is the API that is measured."""

    def __init__(self, api_url: str, token: str, order_id: str) -> None:
        self._url, self._token, self._order_id = urlsplit(api_url), token, order_id
        self.is_open = asyncio.Event()

    async def watch(self) -> list[Seen]:
        """Every event until the stream ends."""
        reader, writer = await asyncio.open_connection(self._url.hostname, self._url.port)
        writer.write(
            f"GET /v1/orders/{self._order_id}/events HTTP/1.1\r\nHost: bench\r\n"
            f"Authorization: Bearer {self._token}\r\nConnection: close\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"not watched: {head.decode()}")
        self.is_open.set()
        seen = []
        while line := await reader.readline():
            if line.startswith(b"id: "):
                seen.append(Seen(self._order_id, int(line[4:]), time.time()))
        writer.close()
        return seen


async def run(stack: Mapping[str, Any], home: Path, load: Load, database: asyncpg.Connection) -> Figures:
    """Have orders wait, watch them, approve them, and see each event arrive."""
    token = sign_token(Home(home), f"bench-{uuid4().hex}", ["orders:write", "operator"], 3_600)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=stack["api_url"], headers=headers, timeout=WITHIN_S) as http:
        ids = [await _waiting_order(http) for _ in range(load.orders)]
        watchers = [Watcher(stack["api_url"], token, ids[number % len(ids)]) for number in range(WATCHERS)]
        async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
            tasks = [group.create_task(watcher.watch()) for watcher in watchers]
            await asyncio.gather(*(watcher.is_open.wait() for watcher in watchers))
            opened = time.time()
            for order_id in ids:
                group.create_task(_approve(http, order_id))
                await asyncio.sleep(load.every_s)
    commits = await database.fetch(
        "SELECT order_id, sequence, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS at"
        " FROM followthrough.order_events WHERE order_id = ANY($1)",
        ids,
    )
    committed_at = {(row["order_id"], row["sequence"]): row["at"] for row in commits}
    return _figures([task.result() for task in tasks], committed_at, opened)


async def _waiting_order(http: httpx.AsyncClient) -> str:
    placed = await http.post("/v1/orders", json=BODY, headers={"Idempotency-Key": uuid4().hex})
    order: dict[str, Any] = placed.raise_for_status().json()
    async with asyncio.timeout(WITHIN_S):
        while order["status"] != "awaiting_approval":
            await asyncio.sleep(POLL_S)
            order = (await http.get(f"/v1/orders/{order['id']}")).raise_for_status().json()
    return str(order["id"])


async def _approve(http: httpx.AsyncClient, order_id: str) -> None:
    (await http.post(f"/v1/admin/orders/{order_id}/approve", json={})).raise_for_status()


def _figures(streams: Sequence[Sequence[Seen]], commits: Mapping[tuple[str, int], float], opened: float) -> Figures:
    """What was committed before all streams were open is counted, and tells nothing of how quick they are."""
    entries = Counter(order_id for order_id, _ in commits)
    events = [event for stream in streams for event in stream]
    delays_ms = [
        (event.at - committed_at) * 1_000
        for event in events
        if (committed_at := commits[event.order_id, event.sequence]) > opened
    ]
    cuts = statistics.quantiles(delays_ms, n=100)
    return Figures(
        delivered=len(events),
        expected=sum(entries[stream[0].order_id] for stream in streams),
        whole_streams=sum(
            [event.sequence for event in stream] == list(range(1, entries[stream[0].order_id] + 1))
            for stream in streams
        ),
        p50_ms=round(cuts[49], 1),
        p99_ms=round(cuts[98], 1),
        max_ms=round(max(delays_ms), 1),
    )


async def measure(stack: Mapping[str, Any], home: Path) -> dict[str, Figures]:
    database = await asyncpg.connect(stack["database_url"])
    try:
        return {load.name: await run(stack, home, load, database) for load in LOADS}
    finally:
        await database.close()


def main() -> None:
    with running_stack() as (home, _):
        down(home)
        with (home / "postgres" / "data" / "postgresql.conf").open("a") as configuration:
            configuration.write("track_commit_timestamp = on\n")
        found = uvloop.run(measure(up(home), home))
    RESULTS.write_text(json.dumps({name: asdict(figures) for name, figures in found.items()}, indent=2) + "\n")
    table = Table("", "events", "whole streams", "p50 ms", "p99 ms", "max ms", title="500 watchers, commit to client")
    for name, figures in found.items():
        table.add_row(
            name,
            f"{figures.delivered} of {figures.expected}",
            f"{figures.whole_streams} of {WATCHERS}",
            *(f"{value:.0f}" for value in (figures.p50_ms, figures.p99_ms, figures.max_ms)),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
