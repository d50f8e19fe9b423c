"""The demo's background work: a job that begins later, and a report of the orders, each checked over HTTP."""

import asyncio
import contextlib
import csv
import hashlib
import io
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from stack.demo_view import open_console

if TYPE_CHECKING:
    from stack.demo import DemoOrder

Json = dict[str, Any]
Show = Callable[[Json], None]

DELAY_S = 1.0
MESSAGE = "said later"
WITHIN_S = 20.0
POLL_S = 0.05
FINAL = ("succeeded", "failed", "cancelled", "timed_out")


async def ask_for_job(api: httpx.AsyncClient) -> Json:
    """Ask for a job that is to begin in a moment."""
    body = {"type": "diagnostics.echo", "arguments": {"message": MESSAGE}, "delay_s": DELAY_S}
    return await _asked_for(api, "/v1/jobs", body)


async def see_job_end(api: httpx.AsyncClient, job: Json) -> list[str]:
    """Wait for the job's end, and print it. Returns what was off."""
    done = await _followed(api, job, lambda _: None)
    open_console().print(f"Job {done['id']}, asked for with delay_s {DELAY_S:g}, is {done['status']}.")
    if done["status"] != "succeeded":
        return [f"job {done['id']} is {done['status']}, not succeeded"]
    waited = datetime.fromisoformat(done["started_at"]) - datetime.fromisoformat(done["created_at"])
    open_console().print(f"It began {waited.total_seconds():.2f} s later, and said {done['result']['message']!r}.\n")
    problems = []
    if waited < timedelta(seconds=DELAY_S):
        problems.append(f"job {done['id']} began after {waited.total_seconds():.2f} s, not {DELAY_S:g} s")
    if done["result"]["message"] != MESSAGE:
        problems.append(f"job {done['id']} said {done['result']['message']!r}")
    return problems


async def report(api: httpx.AsyncClient, orders: "Sequence[DemoOrder]") -> list[str]:
    """Have the demo's orders reported, show how far that is, and download the file. Returns what was off."""
    accepted_at = [datetime.fromisoformat(order.resource["created_at"]) for order in orders]
    until = max(accepted_at) + timedelta(microseconds=1)
    body = {"type": "orders", "from": min(accepted_at).isoformat(), "to": until.isoformat(), "format": "csv"}
    asked_for = await _asked_for(api, "/v1/reports", body)
    with _progress("A report of the orders") as show:
        done = await _followed(api, asked_for, show)
    if done["status"] != "succeeded":
        return [f"report {done['id']} is {done['status']}, not succeeded"]
    file = (await api.get(done["links"]["download"])).raise_for_status()
    found = [row["id"] for row in csv.DictReader(io.StringIO(file.text, newline=""))]
    digest = hashlib.sha256(file.content).hexdigest()
    open_console().print(
        f"Report {done['id']}: {len(found)} rows, {len(file.content)} bytes, SHA-256 {digest[:16]}...\n"
    )
    problems = []
    if sorted(found) != sorted(order.id for order in orders):
        problems.append(f"report {done['id']} has {len(found)} rows, which are not the demo's orders")
    if not file.headers["ETag"].strip('"') == done["sha256"] == digest:
        problems.append(f"report {done['id']} is not what its checksum says")
    return problems


async def _asked_for(api: httpx.AsyncClient, path: str, body: Json) -> Json:
    answer = await api.post(path, json=body, headers={"Idempotency-Key": uuid4().hex})
    found: Json = answer.raise_for_status().json()
    return found


async def _followed(api: httpx.AsyncClient, work: Json, show: Show) -> Json:
    """The job or report when it is over, or as it is after a while."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        found: Json = (await api.get(work["links"]["self"])).raise_for_status().json()
        show(found)
        if found["status"] in FINAL or time.monotonic() > deadline:
            return found
        await asyncio.sleep(POLL_S)


@contextlib.contextmanager
def _progress(title: str) -> Iterator[Show]:
    """A bar on a terminal, a line for each change elsewhere."""
    console = open_console()
    if not console.is_terminal:
        yield _Lines(title)
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[status]}")
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=None, status="")

        def show(found: Json) -> None:
            progress = found["progress"] or {"done": 0, "total": None}
            bar.update(task, completed=progress["done"], total=progress["total"], status=found["status"])

        yield show


class _Lines:
    def __init__(self, title: str) -> None:
        self._title = title
        self._printed = ""

    def __call__(self, found: Json) -> None:
        progress = found["progress"]
        line = f"{self._title}: {found['status']}" + (f", {progress['done']}/{progress['total']}" if progress else "")
        if line != self._printed:
            open_console().print(line)
        self._printed = line
