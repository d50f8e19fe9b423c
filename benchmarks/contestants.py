"""What is compared: our orders through HTTP, and the floor through the SDK. Both are seen to end in Postgres."""

import asyncio
import json
from collections.abc import Collection
from datetime import timedelta
from typing import Protocol
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
from temporalio.client import Client

from benchmarks.floor_worker import QUEUE

BODY = json.dumps(
    {
        "lines": [{"sku": "BENCH-TEE", "quantity": 2}],
        "payment_method": "pm_card_visa",
        "ship_to": {"name": "Ada", "line1": "12 Long St", "city": "Oslo", "postal_code": "0150", "country": "NO"},
    }
).encode()
BUSY_S = 0.05


class Contestant(Protocol):
    """Submits an order and returns its id; tells which of these orders are completed."""

    name: str

    async def submit(self) -> str: ...

    async def completed(self, ids: Collection[str]) -> set[str]: ...


async def completed_in(pool: asyncpg.Pool, table: str, ids: Collection[str], completed: str = "completed") -> set[str]:
    rows = await pool.fetch(f"SELECT id, status FROM {table} WHERE id = ANY($1)", list(ids))
    return {row["id"] for row in rows if row["status"] == completed}


class ThroughHttp:
    """POST /v1/orders on kept-open connections: a bare client, so that it is the API that is measured."""

    name = "followthrough"
    path, body = "/v1/orders", BODY

    def __init__(self, api_url: str, token: str, pool: asyncpg.Pool) -> None:
        parts = urlsplit(api_url)
        self._host, self._port = parts.hostname, parts.port
        self._token = token
        self.pool = pool
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def submit(self) -> str:
        """The id of what was accepted. Who is busy asks to come back, which counts as time taken."""
        key = uuid4().hex
        while (answer := await self._post(key)) is None:
            await asyncio.sleep(BUSY_S)
        return answer

    async def _post(self, key: str) -> str | None:
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
        writer.write(
            f"POST {self.path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n".encode()
            + f"Authorization: Bearer {self._token}\r\nIdempotency-Key: {key}\r\n".encode()
            + f"Content-Length: {len(self.body)}\r\n\r\n".encode()
            + self.body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        answer = await reader.readexactly(int(fields[b"content-length"]))
        if head.startswith(b"HTTP/1.1 503"):
            self._idle.append((reader, writer))
            return None
        if not head.startswith((b"HTTP/1.1 202", b"HTTP/1.1 200")):
            raise RuntimeError(f"not accepted: {head.decode()}{answer.decode()}")
        self._idle.append((reader, writer))
        return str(json.loads(answer)["id"])

    async def completed(self, ids: Collection[str]) -> set[str]:
        return await completed_in(self.pool, "followthrough.orders", ids)


class Floor:
    """Bare workflows, started by the SDK; `followed`, each goes on with its shipment in a child workflow."""

    def __init__(self, client: Client, pool: asyncpg.Pool, *, followed: bool) -> None:
        self.name = "followed floor" if followed else "floor"
        self._workflow = "FollowedFloor" if followed else "Floor"
        self._client = client
        self._pool = pool

    async def submit(self) -> str:
        order_id = uuid4().hex
        await self._client.start_workflow(
            self._workflow,
            {"id": order_id},
            id=f"floor/{order_id}",
            task_queue=QUEUE,
            task_timeout=timedelta(seconds=2),
        )
        return order_id

    async def completed(self, ids: Collection[str]) -> set[str]:
        return await completed_in(self._pool, "floor.orders", ids)
