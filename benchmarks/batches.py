"""What a batch of ten thousand jobs costs: `python -m benchmarks.batches`.

Sends 10,000 echoes by one request, and looks at the worker's memory while they run; afterwards at the histories of the
batch's process and at the rows. Prints figures, writes JSON.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import uvloop
from rich.console import Console
from temporalio.client import WorkflowHandle

from benchmarks.running import connected, running_stack
from contracts.ids import batch_workflow_id
from stack.home import Home
from stack.tokens import sign_token

ITEMS = 10_000
LOOK_EVERY_S = 1.0
MIB = 1024 * 1024
RESULTS = Path(__file__).with_name("batches.json")
_SIZES = """
    SELECT (SELECT count(*) FROM followthrough.jobs) AS jobs, (SELECT count(*) FROM followthrough.outbox) AS outbox,
        pg_total_relation_size('followthrough.jobs') AS jobs_bytes
"""


async def measure(home: Path, stack: Mapping[str, Any], items: int) -> dict[str, Any]:
    token = sign_token(Home(home), "bench", ["jobs:write"], 3_600)
    worker = psutil.Process(stack["processes"]["worker"]["pid"])
    body = {"type": "diagnostics.echo", "items": [{"message": f"item {number}"} for number in range(items)]}
    before = resident = worker.memory_info().rss
    async with httpx.AsyncClient(
        base_url=stack["api_url"], timeout=30, headers={"Authorization": f"Bearer {token}"}
    ) as http:
        began = time.perf_counter()
        answer = await http.post("/v1/jobs/batch", headers={"Idempotency-Key": "bench"}, json=body)
        answer.raise_for_status()
        accepted_ms = (time.perf_counter() - began) * 1_000
        batch, read_ms = answer.json(), 0.0
        while batch["status"] != "finished":
            await asyncio.sleep(LOOK_EVERY_S)
            resident = max(resident, worker.memory_info().rss)
            asked = time.perf_counter()
            batch = (await http.get(batch["links"]["self"])).json()
            read_ms = max(read_ms, (time.perf_counter() - asked) * 1_000)
        took_s = time.perf_counter() - began
    connection = await asyncpg.connect(stack["database_url"])
    sizes = await connection.fetchrow(_SIZES)
    await connection.close()
    assert sizes is not None
    return {
        "items": items,
        "accepted_ms": accepted_ms,
        "took_s": took_s,
        "jobs_per_s": items / took_s,
        "slowest_read_ms": read_ms,
        "worker_mib_before": before / MIB,
        "worker_mib_at_most": resident / MIB,
        **await histories(stack, batch["id"]),
        "job_rows": sizes["jobs"],
        "outbox_rows_left": sizes["outbox"],
        "bytes_per_job_row": sizes["jobs_bytes"] / items,
    }


async def histories(stack: Mapping[str, Any], batch_id: str) -> dict[str, Any]:
    """How large the runs of the batch's process were, each continued as new by the next."""
    client = await connected(stack)
    handle: WorkflowHandle[Any, Any] = client.get_workflow_handle(batch_workflow_id(batch_id))
    events, sizes = [], []
    run_id: str | None = (await handle.describe()).run_id
    while run_id:
        described = await client.get_workflow_handle(handle.id, run_id=run_id).describe()
        info = described.raw_description.workflow_execution_info
        events.append(info.history_length)
        sizes.append(info.history_size_bytes)
        history = await client.get_workflow_handle(handle.id, run_id=run_id).fetch_history()
        started = history.events[0].workflow_execution_started_event_attributes
        run_id = started.continued_execution_run_id
    return {"runs": len(events), "events_per_run_at_most": max(events), "bytes_per_run_at_most": max(sizes)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=ITEMS)
    items = parser.parse_args().items
    with running_stack() as (home, stack):
        found = uvloop.run(measure(home, stack, items))
    for name, figure in found.items():
        Console().print(f"{name.replace('_', ' ')}: {figure:,.1f}")
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
