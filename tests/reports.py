"""Reports as their owners ask for them over HTTP."""

import asyncio
import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.acceptance.client import POLL_S, WITHIN_S, Caller, new_key

Json = dict[str, Any]

FINAL = {"succeeded", "failed", "cancelled", "timed_out"}


async def ask_for(caller: Caller, *, key: str | None = None, **changes: Any) -> httpx.Response:
    """Ask for a report, of all orders up to now unless told; a field that is None is left out."""
    until_now = {"from": "2001-01-01T00:00:00Z", "to": (datetime.now(UTC) + timedelta(seconds=1)).isoformat()}
    body = {"type": "orders", **until_now, "format": "csv", **changes}
    sent = {name: value for name, value in body.items() if value is not None}
    return await caller.post("/v1/reports", {"Idempotency-Key": key or new_key()}, json=sent)


async def accepted(caller: Caller, *, key: str | None = None, **changes: Any) -> Json:
    """A new report."""
    answer = await ask_for(caller, key=key, **changes)
    assert answer.status_code == 202, answer.text
    report: Json = answer.json()
    return report


async def read(caller: Caller, report: Json) -> Json:
    answer = await caller.get(report["links"]["self"])
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def until(caller: Caller, report: Json, *statuses: str) -> Json:
    """Wait until the report has one of these statuses."""
    async with asyncio.timeout(WITHIN_S):
        while (found := await read(caller, report))["status"] not in statuses:
            assert found["status"] not in FINAL, found
            await asyncio.sleep(POLL_S)
    return found


async def written(caller: Caller, **changes: Any) -> Json:
    """A report that is finished."""
    return await until(caller, await accepted(caller, **changes), "succeeded")


async def download(caller: Caller, report: Json, **headers: str) -> httpx.Response:
    return await caller.http.get(report["links"]["download"], headers={**caller.headers, **headers})


async def rows_of(caller: Caller, report: Json) -> list[dict[str, str]]:
    """The rows of a report in CSV."""
    answer = await download(caller, report)
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.content.decode(), newline=""), strict=True))
