"""Exports begin at once, and reports of very many orders need little memory: `python -m benchmarks.reports`.

Asks for `GET /v1/orders.csv` among 100,000 orders, and then has reports of 1,000,000 written.
Prints tables, writes JSON.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from api.order_exporting import EXPORTS_AT_ONCE
from benchmarks.listed_orders import COMMON_SKU, COMMON_STATUS, LARGE_CUSTOMER, RARE_SKU, generate_orders
from benchmarks.running import running_stack
from contracts.order_rows import RowFormat
from database.transaction import Connection
from stack.home import Home
from stack.tokens import sign_token

EXPORTED_ORDERS, REPORTED_ORDERS = 100_000, 1_000_000
FIRST_BYTES, LISTS = 20, 200
FIRST_BYTE_GOAL_MS, MEMORY_GOAL_MIB = 200, 150
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
EXPORTS: dict[str, tuple[str, dict[str, str]]] = {
    "everybody's": ("bench-operator", {}),
    "completed (90 %)": ("bench-operator", {"status": COMMON_STATUS}),
    "of a SKU (50 %)": ("bench-operator", {"sku": COMMON_SKU}),
    "of a SKU (60 orders)": ("bench-operator", {"sku": RARE_SKU}),
    "a customer's (10 %)": (LARGE_CUSTOMER, {}),
}
RESULTS = Path(__file__).with_name("reports.json")
LOOK_EVERY_S, ASK_EVERY_S = 0.02, 0.5
MIB = 1024 * 1024


class Exports:
    """Asks for exports as one caller or another."""

    def __init__(self, http: httpx.AsyncClient, home: Path) -> None:
        self._http = http
        self._home = Home(home)

    async def first_byte_ms(self, name: str) -> float:
        """How long until rows come, after which the client leaves."""
        began = time.perf_counter()
        async with self._http.stream("GET", "/v1/orders.csv", **self._asking(name)) as answer:
            answer.raise_for_status()
            await anext(answer.aiter_raw())
            return (time.perf_counter() - began) * 1_000

    async def whole(self, name: str) -> tuple[int, float]:
        """How many rows there are, and how long they all take, in seconds."""
        began = time.perf_counter()
        answer = await self._http.get("/v1/orders.csv", **self._asking(name))
        answer.raise_for_status()
        return answer.content.count(b"\n") - 1, time.perf_counter() - began

    async def lists(self, exports: int) -> dict[str, float]:
        """How long pages of a list take while so many exports go on."""
        exporting = [asyncio.create_task(self._again_and_again()) for _ in range(exports)]
        took_ms = []
        for _ in range(LISTS):
            began = time.perf_counter()
            listed = await self._http.get("/v1/orders", **self._asking("everybody's"))
            took_ms.append((time.perf_counter() - began) * 1_000)
            listed.raise_for_status()
        for task in exporting:
            task.cancel()
        await asyncio.gather(*exporting, return_exceptions=True)
        return {"p50_ms": statistics.median(took_ms), "p99_ms": statistics.quantiles(took_ms, n=100)[98]}

    async def _again_and_again(self) -> None:
        while True:
            await self.whole("everybody's")

    def _asking(self, name: str) -> dict[str, Any]:
        subject, filters = EXPORTS[name]
        token = sign_token(self._home, subject, ["operator" if subject != LARGE_CUSTOMER else "orders:read"], 3_600)
        return {"params": filters, "headers": {"Authorization": f"Bearer {token}"}}


async def measure_exports(stack: Mapping[str, Any], home: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Exports by what is asked for, and lists by what goes on beside them."""
    found = {}
    async with httpx.AsyncClient(base_url=stack["api_url"], timeout=120) as http:
        exports = Exports(http, home)
        for name in EXPORTS:
            await exports.first_byte_ms(name)
            first_ms = [await exports.first_byte_ms(name) for _ in range(FIRST_BYTES)]
            rows, took_s = await exports.whole(name)
            found[name] = {
                "first_byte_p50_ms": statistics.median(first_ms),
                "first_byte_max_ms": max(first_ms),
                "rows": rows,
                "took_s": took_s,
                "rows_per_s": rows / took_s,
            }
        lists = {f"beside {count} exports": await exports.lists(count) for count in (0, 1, EXPORTS_AT_ONCE)}
    return found, lists


async def measure_reports(stack: Mapping[str, Any], home: Path, orders: int) -> dict[str, Any]:
    """Of all orders there are, in each format, by the stack's worker."""
    token = sign_token(Home(home), "bench-operator", ["operator", "reports:write"], 3_600)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=stack["api_url"], headers=headers, timeout=30) as http:
        found = {}
        for written_as in RowFormat:
            found[written_as.value] = await measure_report(
                http, psutil.Process(stack["processes"]["worker"]["pid"]), written_as
            )
            assert found[written_as.value]["rows"] == orders
    return found


async def measure_report(http: httpx.AsyncClient, worker: psutil.Process, written_as: RowFormat) -> dict[str, float]:
    """How long a report takes from its acceptance to its end, and how large the worker becomes."""
    before = worker.memory_full_info()
    rss_peak, pss_peak = before.rss, before.pss
    body = {"type": "orders", "from": BEGINNING.isoformat(), "to": datetime.now(UTC).isoformat(), "format": written_as}
    asked_for = await http.post("/v1/reports", json=body, headers={"Idempotency-Key": uuid4().hex})
    url = asked_for.raise_for_status().json()["links"]["self"]
    began = asked_at = time.perf_counter()
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        now = worker.memory_full_info()
        rss_peak, pss_peak = max(rss_peak, now.rss), max(pss_peak, now.pss)
        if time.perf_counter() - asked_at > ASK_EVERY_S:
            report = (await http.get(url)).raise_for_status().json()
            asked_at = time.perf_counter()
            if report["finished_at"]:
                break
    assert report["status"] == "succeeded"
    took_s = asked_at - began
    return {
        "rows": report["rows"],
        "mib": report["size"] / MIB,
        "took_s": took_s,
        "rows_per_s": report["rows"] / took_s,
        "rss_before_mib": before.rss / MIB,
        "rss_peak_mib": rss_peak / MIB,
        # Without the shares of others in what they have mapped as well, such as code: `status` counts so.
        "pss_before_mib": before.pss / MIB,
        "pss_peak_mib": pss_peak / MIB,
    }


async def generated(connection: Connection, orders: int) -> None:
    await generate_orders(connection, orders, datetime.now(UTC))
    # As autovacuum does sooner or later.
    await connection.execute("VACUUM ANALYZE followthrough.orders, followthrough.order_skus")


async def measure(home: Path, stack: Mapping[str, Any], orders: int) -> dict[str, Any]:
    connection = await asyncpg.connect(stack["database_url"])
    try:
        await generated(connection, EXPORTED_ORDERS)
        exports, lists = await measure_exports(stack, home)
        await generated(connection, orders)
        reports = await measure_reports(stack, home, orders)
        return {"exports": exports, "lists": lists, "reports": reports}
    finally:
        await connection.close()


def show(title: str, found: Mapping[str, Mapping[str, float]]) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    headings = next(iter(found.values()))
    for heading in headings:
        table.add_column(heading.replace("_", " "), justify="right")
    for name, figures in found.items():
        table.add_row(name, *(f"{figure:,.{0 if figure >= 1_000 else 1}f}" for figure in figures.values()))
    Console(width=150).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=REPORTED_ORDERS, help="in the reports")
    orders = parser.parse_args().orders
    with running_stack() as (home, stack):
        found = uvloop.run(measure(home, stack, orders))
    show(f"GET /v1/orders.csv, {EXPORTED_ORDERS:,} orders (first byte < {FIRST_BYTE_GOAL_MS} ms)", found["exports"])
    show("GET /v1/orders, a page of 50", found["lists"])
    show(f"reports of {orders:,} orders (peak < {MEMORY_GOAL_MIB} MiB)", found["reports"])
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    Console().print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
