"""Whether the demo's orders, the providers' ledger and the stock tell the same story."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import asyncpg
from rich.table import Table

from stack.demo_view import open_console

if TYPE_CHECKING:
    from stack.demo import DemoOrder

Stock = dict[str, tuple[int, int]]


async def stock_of(database_url: str, skus: Iterable[str]) -> Stock:
    """On hand and reserved by SKU, read from the tables themselves."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            "SELECT sku, sum(on_hand)::int, sum(reserved)::int FROM followthrough.stock"
            " WHERE sku = ANY($1) GROUP BY sku",
            list(skus),
        )
    finally:
        await connection.close()
    return {sku: (on_hand, reserved) for sku, on_hand, reserved in rows}


def balance(
    orders: "Sequence[DemoOrder]", ledger: Mapping[str, Sequence[Mapping[str, Any]]], before: Stock, after: Stock
) -> list[str]:
    """Print orders beside the ledger, and stock before and after; returns what does not agree."""
    problems = []
    shipped = dict.fromkeys(before, 0)
    table = Table(title="Orders, and the providers' ledger", title_justify="left")
    for heading in ("order", "what", "status", "failure", "charged", "refunded", "shipments"):
        justify: Literal["left", "right"] = "right" if heading in ("charged", "refunded") else "left"
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=heading in ("order", "status", "failure"))
    for order in orders:
        sent = [one for one in order.resource["fulfilments"] if one["status"] in ("shipped", "delivered")]
        price = sum(one["amount"]["amount"] for one in sent)
        charged, refunded = (
            sum(row["amount"] for row in ledger[kind] if row["order_id"] == order.id and row["status"] == "succeeded")
            for kind in ("charges", "refunds")
        )
        shipments = [row["status"] for row in ledger["shipments"] if row["order_id"] == order.id]
        if charged - refunded != price:
            problems.append(f"order {order.id} was sent goods for {price}, but {charged - refunded} was kept")
        if shipments.count("booked") != len(sent):
            problems.append(f"order {order.id} has {len(sent)} parcels but {shipments.count('booked')} shipments")
        for line in (line for one in sent for line in one["lines"]):
            shipped[line["sku"]] += line["quantity"]
        failure = (order.resource["failure"] or {}).get("code", "")
        row = (order.id, order.scenario.title, order.status, failure, f"{charged:,}", f"{refunded:,}")
        table.add_row(*row, ", ".join(shipments))
    stock = Table(title="Stock in Postgres", title_justify="left")
    for heading in ("sku", "on hand before", "shipped", "on hand after", "reserved after"):
        stock.add_column(heading, justify="left" if heading == "sku" else "right")
    for sku, (on_hand, reserved) in before.items():
        left, still_reserved = after[sku]
        if left != on_hand - shipped[sku] or still_reserved != reserved:
            problems.append(f"the stock of {sku} went from {on_hand} to {left}, with {shipped[sku]} shipped")
        stock.add_row(sku, *(f"{number:,}" for number in (on_hand, shipped[sku], left, still_reserved)))
    console = open_console()
    console.print(table, stock)
    if not problems:
        console.print("They balance: shipped is charged once, everything else was given back, no unit is missing.")
    return problems
