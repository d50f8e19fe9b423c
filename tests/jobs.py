"""Jobs as their owners ask for them over HTTP."""

import asyncio
import json
from typing import Any

import httpx

from tests.acceptance.client import POLL_S, WITHIN_S, Caller, new_key

Json = dict[str, Any]

FINAL = {"succeeded", "failed", "cancelled", "timed_out"}


async def ask_for(caller: Caller, *, key: str | None = None, **body: Any) -> httpx.Response:
    """Ask for a job, of the echo's type unless another is named."""
    asked = {"type": "diagnostics.echo", "arguments": {"message": "hello"}, **body}
    headers = {"Idempotency-Key": key or new_key(), "Content-Type": "application/json"}
    # Escaped, so that it may be what no text can hold.
    return await caller.post("/v1/jobs", headers, content=json.dumps(asked))


async def accepted(caller: Caller, *, key: str | None = None, **body: Any) -> Json:
    """A new job."""
    answer = await ask_for(caller, key=key, **body)
    assert answer.status_code == 202, answer.text
    job: Json = answer.json()
    return job


async def echo(caller: Caller, **arguments: Any) -> Json:
    """A new echo with these arguments."""
    return await accepted(caller, arguments={"message": "hello", **arguments})


async def read(caller: Caller, job: Json) -> Json:
    answer = await caller.get(f"/v1/jobs/{job['id']}")
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def until(caller: Caller, job: Json, *statuses: str, within_s: float = WITHIN_S) -> Json:
    """Wait until the job has one of these statuses."""
    async with asyncio.timeout(within_s):
        while (found := await read(caller, job))["status"] not in statuses:
            assert found["status"] not in FINAL, found
            await asyncio.sleep(POLL_S)
    return found


async def listed(caller: Caller, **filters: Any) -> list[Json]:
    answer = await caller.get("/v1/jobs", **filters)
    assert answer.status_code == 200, answer.text
    items: list[Json] = answer.json()["items"]
    return items
