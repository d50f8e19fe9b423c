"""A list of orders is as quick among 100,000 orders as among 1,000: `python -m benchmarks.lists`.

One client asks one list after the other, each filter and combination in turn, through HTTP and with all of the API in
between. Prints a table, writes JSON.
"""

import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import uvloop
from rich.console import Console
from rich.table import Table

from api.cursors import cursor_behind
from benchmarks.listed_orders import (
    COMMON_SKU,
    COMMON_STATUS,
    LARGE_CUSTOMER,
    RARE_SKU,
    RARE_STATUS,
    SMALL_CUSTOMER,
    UNKNOWN_SKU,
    Landmarks,
    generate,
)
from benchmarks.running import running_stack
from stack.home import Home
from stack.tokens import sign_token

FEW_ORDERS, MANY_ORDERS = 1_000, 100_000
ROUNDS = 2
REQUESTS = 25
WARM_UP = 3
GOAL = 1.5
OPERATOR = "bench-operator"
RESULTS = Path(__file__).with_name("lists.json")


@dataclass(frozen=True)
class Case:
    """A list that somebody asks for; `deep` begins in the middle of all orders, whoever's they are."""

    caller: str
    status: str | None = None
    sku: str | None = None
    recent: bool = False
    deep: bool = False

    @property
    def name(self) -> str:
        filters = {"status": self.status, "sku": self.sku, "created_after": "recent" if self.recent else None}
        asked = " ".join(f"{name}={value}" for name, value in filters.items() if value)
        return f"{asked or 'all'}{' (deep)' if self.deep else ''}"

    def parameters(self, landmarks: Landmarks) -> dict[str, str]:
        asked = {
            "status": self.status,
            "sku": self.sku,
            "created_after": landmarks.recent.isoformat() if self.recent else None,
            "cursor": cursor_behind(landmarks.middle) if self.deep else None,
        }
        return {name: value for name, value in asked.items() if value is not None}


COMMON = Case(OPERATOR, status=COMMON_STATUS, sku=COMMON_SKU)
FILTERED = (
    Case(OPERATOR),
    Case(OPERATOR, status=COMMON_STATUS),
    Case(OPERATOR, status=RARE_STATUS),
    Case(OPERATOR, sku=COMMON_SKU),
    Case(OPERATOR, sku=RARE_SKU),
    COMMON,
    Case(OPERATOR, status="rejected", sku=COMMON_SKU),
    Case(OPERATOR, status=RARE_STATUS, sku=COMMON_SKU),
    Case(OPERATOR, status=COMMON_STATUS, sku=RARE_SKU),
    *(
        replace(filtered, recent=recent, deep=not recent)
        for filtered in (Case(OPERATOR), replace(COMMON, sku=None), replace(COMMON, status=None), COMMON)
        for recent in (True, False)
    ),
)
CASES = (
    *FILTERED,
    Case(OPERATOR, sku=UNKNOWN_SKU),
    *(replace(case, caller=LARGE_CUSTOMER) for case in FILTERED),
    Case(SMALL_CUSTOMER),
    replace(COMMON, caller=SMALL_CUSTOMER, sku=None),
    replace(COMMON, caller=SMALL_CUSTOMER, status=None),
    replace(COMMON, caller=SMALL_CUSTOMER),
)


@dataclass
class Timings:
    """How long each request took, and how many orders it was answered with."""

    took_ms: list[float]
    items: int = 0

    @property
    def p50(self) -> float:
        return statistics.median(self.took_ms)

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.took_ms, n=100)[98]


class Client:
    """Asks the API as one caller or another."""

    def __init__(self, http: httpx.AsyncClient, home: Path) -> None:
        self._http = http
        scopes = {OPERATOR: ["operator"], LARGE_CUSTOMER: ["orders:read"], SMALL_CUSTOMER: ["orders:read"]}
        self._headers = {
            caller: {"Authorization": f"Bearer {sign_token(Home(home), caller, scopes, 3_600)}"}
            for caller, scopes in scopes.items()
        }

    async def ask(self, case: Case, parameters: Mapping[str, str]) -> tuple[float, int]:
        """How long the list took, in ms, and how many orders are in it."""
        began = time.perf_counter()
        answer = await self._http.get("/v1/orders", params=parameters, headers=self._headers[case.caller])
        took = time.perf_counter() - began
        answer.raise_for_status()
        return took * 1_000, len(answer.json()["items"])


async def measure(client: Client, landmarks: Landmarks) -> dict[Case, Timings]:
    """Rounds of all in turn, so that a change of the machine's speed meets each."""
    found = {case: Timings([]) for case in CASES}
    asked = {case: case.parameters(landmarks) for case in CASES}
    for case in CASES:
        for _ in range(WARM_UP):
            _, found[case].items = await client.ask(case, asked[case])
    for _ in range(ROUNDS):
        for case in CASES:
            found[case].took_ms += [(await client.ask(case, asked[case]))[0] for _ in range(REQUESTS)]
    return found


async def compare(home: Path, stack: Mapping[str, Any]) -> dict[int, dict[Case, Timings]]:
    connection = await asyncpg.connect(stack["database_url"])
    found = {}
    try:
        async with httpx.AsyncClient(base_url=stack["api_url"], timeout=30) as http:
            client = Client(http, home)
            for count in (FEW_ORDERS, MANY_ORDERS):
                landmarks = await generate(connection, count, datetime.now(UTC))
                found[count] = await measure(client, landmarks)
    finally:
        await connection.close()
    return found


def report(found: Mapping[int, Mapping[Case, Timings]]) -> list[dict[str, Any]]:
    """Print both sizes side by side; returns the rows."""
    few, many = found[FEW_ORDERS], found[MANY_ORDERS]
    table = Table(title=f"GET /v1/orders, ms, {FEW_ORDERS:,} and {MANY_ORDERS:,} orders", title_justify="left")
    for heading in ("caller", "list", "items", "p50", "p50", "p99", "p99", f"ratio of p99 (<= {GOAL})"):
        table.add_column(heading, justify="left" if heading in ("caller", "list") else "right")
    rows = []
    for case in CASES:
        one, other = few[case], many[case]
        ratio = other.p99 / one.p99
        rows.append(
            {
                "caller": case.caller,
                "list": case.name,
                "items": [one.items, other.items],
                "p50_ms": [one.p50, other.p50],
                "p99_ms": [one.p99, other.p99],
                "p99_ratio": ratio,
            }
        )
        times = (f"{ms:.1f}" for ms in (one.p50, other.p50, one.p99, other.p99))
        items = str(one.items) if one.items == other.items else f"{one.items}/{other.items}"
        table.add_row(case.caller, case.name, items, *times, f"{ratio:.2f}")
    Console(width=130).print(table)
    return rows


def main() -> None:
    with running_stack("--without", "worker") as (home, stack):
        found = uvloop.run(compare(home, stack))
    RESULTS.write_text(json.dumps(report(found), indent=2) + "\n")
    Console().print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
