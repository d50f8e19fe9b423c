"""Jobs beside bare standalone activities, in the same run on the same stack: `python -m benchmarks.jobs`.

The floor is what the SDK gives: its client starts an activity, its worker returns, nobody writes anything down. Ours is
accepted over HTTP, durable with its outbox row before the answer, started by the relay, and its attempt and its end are
written in our books. Prints a table, writes JSON.
"""

import asyncio
import json
import os
import signal
import statistics
import time
from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import uvloop
from PIL import Image
from rich.console import Console
from rich.table import Table
from temporalio.client import Client, PendingActivityState
from temporalio.common import RetryPolicy
from temporalio.service import RPCError, RPCStatusCode

from activities.jobs.starting import HEARTBEAT_TIMEOUT
from benchmarks.contestants import Contestant, ThroughHttp, completed_in
from benchmarks.floor_jobs_worker import QUEUE
from benchmarks.measure import Rounds, in_turn, lone_ones
from benchmarks.running import connected, floor_worker, running_stack
from stack.home import Home
from stack.tokens import sign_token

ROUNDS = 4
JOBS = 400
WARM_UP = 100
LONE_JOBS = 15
RECOVERIES = 2
SLEEP_S = 30
POLL_S = 0.02
RECOVERS_WITHIN_S = 60.0
RESULTS = Path(__file__).with_name("jobs.json")
WORKER = "benchmarks.floor_jobs_worker"


def echo(sleep_s: int) -> bytes:
    return json.dumps({"type": "diagnostics.echo", "arguments": {"message": "hello", "sleep_s": sleep_s}}).encode()


class JobsThroughHttp(ThroughHttp):
    """POST /v1/jobs, and its row in Postgres."""

    path, body = "/v1/jobs", echo(0)

    async def completed(self, ids: Collection[str]) -> set[str]:
        return await completed_in(self.pool, "followthrough.jobs", ids, "succeeded")


class LongJobs(JobsThroughHttp):
    """The same, for jobs to be interrupted."""

    body = echo(SLEEP_S)


class Thumbnails(JobsThroughHttp):
    """Some ten seconds of computing, for one processor."""

    body = json.dumps(
        {"type": "images.thumbnails", "arguments": {"key": "images/bench", "sizes": list(range(4_096, 4_086, -1))}}
    ).encode()


class BareActivities:
    """Standalone activities, started and waited for by the SDK."""

    name = "floor"

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: dict[str, asyncio.Task[Any]] = {}

    async def submit(self) -> str:
        job_id = uuid4().hex
        handle = await self._client.start_activity(
            "floor_echo", "hello", id=job_id, task_queue=QUEUE, start_to_close_timeout=timedelta(seconds=60)
        )
        self._waiting[job_id] = asyncio.create_task(handle.result())
        return job_id

    async def completed(self, ids: Collection[str]) -> set[str]:
        done = {job_id for job_id in ids if self._waiting[job_id].done()}
        for job_id in done:
            self._waiting.pop(job_id).result()
        return done

    async def submit_long(self) -> str:
        """One to be interrupted, with the heartbeats and retries that ours have."""
        handle = await self._client.start_activity(
            "floor_sleep",
            SLEEP_S,
            id=uuid4().hex,
            task_queue=QUEUE,
            start_to_close_timeout=timedelta(seconds=300),
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RetryPolicy(initial_interval=timedelta(seconds=0.5)),
        )
        return handle.id


async def begun(client: Client, job_id: str, attempt: int) -> None:
    """Wait until Temporal says that this attempt runs."""
    async with asyncio.timeout(RECOVERS_WITHIN_S):
        while True:
            try:
                found = await client.get_activity_handle(job_id).describe()
                if found.attempt >= attempt and found.run_state is PendingActivityState.STARTED:
                    return
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
            await asyncio.sleep(POLL_S)


async def compare(home: Path, stack: Mapping[str, Any], floor_pid: int) -> dict[str, Any]:
    token = sign_token(Home(home), "bench", ["jobs:write"], 3_600)
    pool = await asyncpg.create_pool(
        stack["database_url"], min_size=1, max_size=2, server_settings={"enable_seqscan": "off"}
    )
    client = await connected(stack)
    shared = {name: stack["processes"][name]["pid"] for name in ("postgres", "temporal")}
    ours = {**shared, "api": stack["processes"]["api"]["pid"], "worker": stack["processes"]["worker"]["pid"]}
    contestants: list[tuple[Contestant, Mapping[str, int]]] = [
        (BareActivities(client), {**shared, "worker": floor_pid}),
        (JobsThroughHttp(stack["api_url"], token, pool), ours),
    ]
    found = await in_turn(contestants, Rounds(ROUNDS, WARM_UP, JOBS, LONE_JOBS))
    computing = Thumbnails(stack["api_url"], token, pool)
    image = Home(home).files / "images" / "bench"
    image.parent.mkdir(parents=True)
    Image.new("RGB", (7_700, 7_700)).save(image, "PNG")
    beside = [await lone_beside(client, computing, contestants[1][0]) for _ in range(ROUNDS)]
    long_jobs = LongJobs(stack["api_url"], token, pool)
    recoveries = [await recovery(home, client, long_jobs) for _ in range(RECOVERIES)]
    await pool.close()
    found["followthrough"]["lone_job_beside_computing_p50_ms"] = statistics.median(beside)
    found["followthrough"]["recovery_s"] = statistics.median(recoveries)
    return found


async def lone_beside(client: Client, computing: Thumbnails, contestant: Contestant) -> float:
    """Milliseconds of a lone job while another one computes, in its process; the median."""
    job_id = await computing.submit()
    await begun(client, job_id, 1)
    median_ms = await lone_ones(contestant, LONE_JOBS)
    if await computing.completed([job_id]):
        raise RuntimeError("nothing computed beside the last of the jobs")
    await client.get_activity_handle(job_id).terminate()
    return median_ms


async def recovery(home: Path, client: Client, long_jobs: LongJobs) -> float:
    """Seconds from the kill -9 of the worker, which the supervisor starts again, to the job's second attempt."""
    job_id = await long_jobs.submit()
    await begun(client, job_id, 1)
    killed_at = time.perf_counter()
    os.kill(Home(home).state().processes["worker"].pid, signal.SIGKILL)
    await begun(client, job_id, 2)
    took_s = time.perf_counter() - killed_at
    await client.get_activity_handle(job_id).terminate()
    return took_s


async def floor_recovery(stack: Mapping[str, Any]) -> float:
    """The same of a bare activity, whose worker is started again at once."""
    client = await connected(stack)
    with floor_worker(stack, WORKER) as pid:
        job_id = await BareActivities(client).submit_long()
        await begun(client, job_id, 1)
        killed_at = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
    with floor_worker(stack, WORKER):
        await begun(client, job_id, 2)
        took_s = time.perf_counter() - killed_at
        await client.get_activity_handle(job_id).terminate()
    return took_s


def report(results: dict[str, Any]) -> dict[str, float]:
    """Print both side by side; returns the ratios, of ours to the floor's."""
    floor, ours = results["floor"], results["followthrough"]
    names = {
        "per_s": "jobs/s, 100 outstanding",
        "submit_p50_ms": "enqueue p50, ms",
        "submit_p99_ms": "enqueue p99, ms",
        "lone_p50_ms": "lone job, ms to its end, p50",
        "recovery_s": "kill -9 of the worker to the next attempt, s",
    }
    table = Table(title=f"jobs beside bare activities, median of {ROUNDS} rounds of {JOBS}", title_justify="left")
    for heading in ("", "floor", "followthrough", "ratio"):
        table.add_column(heading, justify="right" if heading else "left")
    ratios = {name: ours[name] / floor[name] for name in names}
    for name, label in names.items():
        table.add_row(label, f"{floor[name]:.1f}", f"{ours[name]:.1f}", f"{ratios[name]:.2f}")
    table.add_row("lone job beside one that computes, ms", "", f"{ours['lone_job_beside_computing_p50_ms']:.1f}", "")
    for process in ("postgres", "temporal", "worker", "api"):
        used = [contestant["cpu_ms"].get(process) for contestant in (floor, ours)]
        table.add_row(f"CPU ms/job, {process}", *("" if cpu is None else f"{cpu:.1f}" for cpu in used), "")
    Console(width=110).print(table)
    return ratios


def main() -> None:
    with running_stack() as (home, stack):
        with floor_worker(stack, WORKER) as floor_pid:
            results = uvloop.run(compare(home, stack, floor_pid))
        results["floor"]["recovery_s"] = statistics.median(uvloop.run(floor_recovery(stack)) for _ in range(RECOVERIES))
    results["ratios"] = report(results)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    Console().print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
