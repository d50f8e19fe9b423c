"""`make bench`: our orders beside the floor, in the same run on the same stack. Prints a table, writes JSON."""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.contestants import Contestant, Floor, ThroughHttp
from benchmarks.measure import Rounds, in_turn
from benchmarks.running import connected, floor_worker, running_stack
from stack.home import Home
from stack.tokens import sign_token

ROUNDS = 6
ORDERS = 400
WARM_UP = 150
LONE_ORDERS = 60
RESULTS = Path(__file__).with_name("results.json")


async def compare(home: Path, stack: dict[str, Any], floor_pid: int) -> dict[str, Any]:
    token = sign_token(Home(home), "bench", ["orders:write", "operator"], 3_600)
    # Orders are looked up by their primary key, so that watching costs the same on both sides: without statistics,
    # which a new table lacks, Postgres would read all of it.
    pool = await asyncpg.create_pool(
        stack["database_url"], min_size=1, max_size=2, server_settings={"enable_seqscan": "off"}
    )
    client = await connected(stack)
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
    contestants: list[tuple[Contestant, Mapping[str, int]]] = [
        (Floor(client, pool, followed=False), {**shared, "worker": floor_pid}),
        (Floor(client, pool, followed=True), {**shared, "worker": floor_pid}),
        (ThroughHttp(stack["api_url"], token, pool), ours),
    ]
    results = await in_turn(contestants, Rounds(ROUNDS, WARM_UP, ORDERS, LONE_ORDERS // ROUNDS))
    await pool.close()
    return results


def report(results: dict[str, Any]) -> dict[str, float]:
    """Print them side by side; returns the ratios that the goals are about, and those to the floor with a child."""
    floors, ours = [results["floor"], results["followed floor"]], results["followthrough"]
    ratios = {}
    for suffix, floor in zip(("", "_followed"), floors, strict=True):
        # Of neighbours in time: the machine's speed drifts between the rounds.
        ratios[f"per_s{suffix}"] = statistics.median(
            our_round["per_s"] / floor_round["per_s"]
            for our_round, floor_round in zip(ours["rounds"], floor["rounds"], strict=True)
        )
        ratios[f"lone_p50_ms{suffix}"] = ours["lone_p50_ms"] / floor["lone_p50_ms"]
    table = Table(title=f"100 outstanding orders, median of {ROUNDS} rounds of {ORDERS}", title_justify="left")
    for heading in ("", "floor", "floor, followed", "followthrough", "ratio", "goal", "ratio, followed"):
        table.add_column(heading, justify="right" if heading else "left")
    for key, label, goal in (
        ("per_s", "orders/s", ">= 0.80"),
        ("lone_p50_ms", "lone order, ms to last step, p50", "<= 1.30"),
    ):
        cells = (f"{one[key]:.1f}" for one in (*floors, ours))
        table.add_row(label, *cells, f"{ratios[key]:.2f}", goal, f"{ratios[f'{key}_followed']:.2f}")
    for key, label in (("submit_p50_ms", "submit p50, ms"), ("submit_p99_ms", "submit p99, ms")):
        table.add_row(label, *(f"{one[key]:.1f}" for one in (*floors, ours)))
    used = [one["cpu_ms"] for one in (*floors, ours)]
    for process in ("postgres", "temporal", "worker", "api", "sandbox"):
        table.add_row(f"CPU ms/order, {process}", *(f"{cpu[process]:.1f}" if process in cpu else "" for cpu in used))
    *least, total = (sum(cpu.values()) for cpu in used)
    times_more = [f"{total / floor:.2f}" for floor in least]
    table.add_row("CPU ms/order, all", *(f"{cpu:.1f}" for cpu in (*least, total)), times_more[0], "", times_more[1])
    Console(width=130).print(table)
    return ratios


def main() -> None:
    with running_stack() as (home, stack), floor_worker(stack, "benchmarks.floor_worker") as floor_pid:
        results = uvloop.run(compare(home, stack, floor_pid))
    results["ratios"] = report(results)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    Console().print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
