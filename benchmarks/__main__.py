"""`make bench`: our orders beside the floor, in the same run on the same stack. Prints a table, writes JSON."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table
from temporalio.client import Client
from temporalio.service import GrpcCompression

from benchmarks.contestants import Contestant, Floor, ThroughHttp
from benchmarks.measure import Loop, closed_loop, lone_orders, quiet
from stack.home import Home
from stack.tokens import sign_token

ROUNDS = 6
ORDERS = 400
WARM_UP = 150
LONE_ORDERS = 60
# Thousands of orders in minutes: under the limit of an ordinary home Temporal would do little but collect garbage.
TEMPORAL_MEMORY = "2GiB"
RESULTS = Path(__file__).with_name("results.json")
FOLLOWTHROUGH = (sys.executable, "-m", "stack")


@contextlib.contextmanager
def running_stack(home: Path) -> Iterator[dict[str, Any]]:
    """A stack of our own for the time of the benchmark."""
    up = subprocess.run(
        [*FOLLOWTHROUGH, "up", "--detach", "--json", "--home", str(home)],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "GOMEMLIMIT": TEMPORAL_MEMORY},
    )
    try:
        yield json.loads(up.stdout)
    finally:
        subprocess.run([*FOLLOWTHROUGH, "down", "--home", str(home)], check=True)


@contextlib.contextmanager
def floor_worker(stack: dict[str, Any], module: str = "benchmarks.floor_worker") -> Iterator[int]:
    """The floor's worker; yields its pid once it polls."""
    command = [sys.executable, "-m", module, json.dumps(stack)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        if worker.stdout.readline() != "ready\n":
            raise SystemExit("the floor's worker did not start")
        yield worker.pid


async def compare(home: Path, stack: dict[str, Any], floor_pid: int) -> dict[str, Any]:
    """Rounds of all in turn, so that a change of the machine's speed meets all."""
    token = sign_token(Home(home), "bench", ["orders:write", "operator"], 3_600)
    # Orders are looked up by their primary key, so that watching costs the same on both sides: without statistics,
    # which a new table lacks, Postgres would read all of it.
    pool = await asyncpg.create_pool(
        stack["database_url"], min_size=1, max_size=2, server_settings={"enable_seqscan": "off"}
    )
    client = await Client.connect(
        stack["temporal_address"], namespace=stack["temporal_namespace"], grpc_compression=GrpcCompression.NONE
    )
    await pool.execute(
        "INSERT INTO followthrough.catalogue_items (sku, name, amount, currency)"
        " VALUES ('BENCH-TEE', 'T-shirt', 1999, 'usd') ON CONFLICT DO NOTHING"
    )
    await pool.execute(
        "INSERT INTO followthrough.stock (sku, warehouse, on_hand)"
        " VALUES ('BENCH-TEE', 'wh_default', 100000000) ON CONFLICT DO NOTHING"
    )
    shared = {name: stack["processes"][name]["pid"] for name in ("postgres", "temporal", "sandbox")}
    ours = {**shared, "api": stack["processes"]["api"]["pid"], "worker": stack["processes"]["worker"]["pid"]}
    contestants: list[tuple[Contestant, dict[str, int]]] = [
        (Floor(client, pool, followed=False), {**shared, "worker": floor_pid}),
        (Floor(client, pool, followed=True), {**shared, "worker": floor_pid}),
        (ThroughHttp(stack["api_url"], token, pool), ours),
    ]
    loops: dict[str, list[Loop]] = {contestant.name: [] for contestant, _ in contestants}
    lone: dict[str, list[float]] = {contestant.name: [] for contestant, _ in contestants}
    for contestant, pids in contestants:
        await closed_loop(contestant, WARM_UP, pids)
    for _ in range(ROUNDS):
        for contestant, pids in contestants:
            await quiet(pids)
            loops[contestant.name].append(await closed_loop(contestant, ORDERS, pids))
        for contestant, pids in contestants:
            await quiet(pids)
            lone[contestant.name].append(await lone_orders(contestant, LONE_ORDERS // ROUNDS))
    await pool.close()
    return {
        name: {
            "orders_per_s": statistics.median(loop.orders_per_s for loop in loops[name]),
            "submit_p50_ms": statistics.median(loop.submit_p50_ms for loop in loops[name]),
            "submit_p99_ms": statistics.median(loop.submit_p99_ms for loop in loops[name]),
            "lone_order_p50_ms": statistics.median(lone[name]),
            "cpu_ms_per_order": {
                process: statistics.median(loop.cpu_ms[process] for loop in loops[name])
                for process in loops[name][0].cpu_ms
            },
            "rounds": [loop.as_json() for loop in loops[name]],
        }
        for name in loops
    }


def report(results: dict[str, Any]) -> dict[str, float]:
    """Print them side by side; returns the ratios that the goals are about, and those to the floor with a child."""
    floors, ours = [results["floor"], results["followed floor"]], results["followthrough"]
    ratios = {}
    for suffix, floor in zip(("", "_followed"), floors, strict=True):
        # Of neighbours in time: the machine's speed drifts between the rounds.
        ratios[f"orders_per_s{suffix}"] = statistics.median(
            our_round["orders_per_s"] / floor_round["orders_per_s"]
            for our_round, floor_round in zip(ours["rounds"], floor["rounds"], strict=True)
        )
        ratios[f"lone_order{suffix}"] = ours["lone_order_p50_ms"] / floor["lone_order_p50_ms"]
    table = Table(title=f"100 outstanding orders, median of {ROUNDS} rounds of {ORDERS}", title_justify="left")
    for heading in ("", "floor", "floor, followed", "followthrough", "ratio", "goal", "ratio, followed"):
        table.add_column(heading, justify="right" if heading else "left")
    for key, label, goal in (
        ("orders_per_s", "orders/s", ">= 0.80"),
        ("lone_order", "lone order, ms to last step, p50", "<= 1.30"),
    ):
        values = [one[key if key in one else f"{key}_p50_ms"] for one in (*floors, ours)]
        cells = (f"{value:.1f}" for value in values)
        table.add_row(label, *cells, f"{ratios[key]:.2f}", goal, f"{ratios[f'{key}_followed']:.2f}")
    for key, label in (("submit_p50_ms", "submit p50, ms"), ("submit_p99_ms", "submit p99, ms")):
        table.add_row(label, *(f"{one[key]:.1f}" for one in (*floors, ours)))
    used = [one["cpu_ms_per_order"] for one in (*floors, ours)]
    for process in ("postgres", "temporal", "worker", "api", "sandbox"):
        table.add_row(f"CPU ms/order, {process}", *(f"{cpu[process]:.1f}" if process in cpu else "" for cpu in used))
    *least, total = (sum(cpu.values()) for cpu in used)
    times_more = [f"{total / floor:.2f}" for floor in least]
    table.add_row("CPU ms/order, all", *(f"{cpu:.1f}" for cpu in (*least, total)), times_more[0], "", times_more[1])
    Console(width=130).print(table)
    return ratios


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="followthrough-bench-") as folder:
        home = Path(folder) / "home"
        with running_stack(home) as stack, floor_worker(stack) as floor_pid:
            results = uvloop.run(compare(home, stack, floor_pid))
    results["ratios"] = report(results)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    Console().print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
