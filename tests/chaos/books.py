"""The world as it really is: the sandbox's ledger and our Postgres, read without the project's own code."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx

from tests.chaos.points import Work

Row = dict[str, Any]

EFFECTS = {
    Work.CHARGE: "charges",
    Work.SHIP: "shipments",
    Work.CANCEL_SHIPMENT: "shipments",
    Work.REFUND: "refunds",
}
EVENTS = {Work.RESERVE: "reserved", Work.RELEASE: "reservation_released"}
UNDONE = ("cancelled", "rejected")


@dataclass(frozen=True)
class World:
    """Everything about some orders, at one moment; rows of our books and of the providers' by order id."""

    ids: tuple[str, ...]
    ledger: dict[str, list[Row]]
    requests: list[Row]
    orders: dict[str, Row]
    steps: dict[tuple[str, str], Row]
    events: list[Row]
    reservations: list[Row]

    def announced(self, work: Work) -> int:
        """Orders whose call is announced in our books."""
        return sum((order_id, work.value) in self.steps for order_id in self.ids)

    def effects(self, work: Work) -> int:
        """Orders for which the provider has it."""
        rows = self.ledger[EFFECTS[work]]
        return len(
            {row["order_id"] for row in rows if (row["status"] == "cancelled") is (work is Work.CANCEL_SHIPMENT)}
        )

    def recorded(self, work: Work) -> int:
        """Orders for which our books have it."""
        if work in EVENTS:
            return len({event["order_id"] for event in self.events if event["type"] == EVENTS[work]})
        steps = (self.steps.get((order_id, work.value)) for order_id in self.ids)
        return sum(step is not None and step["outcome"] == "succeeded" for step in steps)

    def repeated_requests(self) -> int:
        """Requests that reached a provider again under a key that it had seen."""
        keys = Counter((row["operation"], row["key"]) for row in self.requests if row["key"])
        return sum(count - 1 for count in keys.values())

    def wrong(self) -> list[str]:
        """What does not fit together now that all of these orders have ended."""
        return [f"{order_id}: {problem}" for order_id in self.ids for problem in self._wrong_with(order_id)]

    def _wrong_with(self, order_id: str) -> list[str]:
        order = self.orders.get(order_id)
        if order is None:
            return ["is not in our books"]
        charges = [row["amount"] for row in self.ledger["charges"] if row["order_id"] == order_id]
        refunds = [row["amount"] for row in self.ledger["refunds"] if row["order_id"] == order_id]
        shipments = [row["status"] for row in self.ledger["shipments"] if row["order_id"] == order_id]
        live = [status for status in shipments if status != "cancelled"]
        states = [row["state"] for row in self.reservations if row["order_id"] == order_id]
        events = [row for row in self.events if row["order_id"] == order_id]
        completed = order["status"] == "completed"
        checks = {
            f"ends as {order['status']}": completed or order["status"] in UNDONE,
            f"its phase is {order['phase']}": order["phase"] == "closed",
            f"was charged {charges}": len(charges) <= 1 and (not completed or charges == [order["total"]]),
            f"was refunded {refunds} of {charges}": refunds == ([] if completed else charges),
            f"was shipped {len(shipments)} times": len(shipments) <= 1,
            f"its shipments are {shipments}": len(live) == (1 if completed else 0),
            f"its reservation is {states}": states == (["shipped"] if completed else ["released"]),
            "its timeline has a gap": [row["sequence"] for row in events] == list(range(1, len(events) + 1)),
            "its timeline says something twice": len({row["type"] for row in events}) == len(events),
            "its timeline goes on after its end": events[-1]["type"] == order["status"],
            "a call is announced and unsettled": all(
                row["outcome"] for (of_order, _), row in self.steps.items() if of_order == order_id
            ),
        }
        return [problem for problem, fine in checks.items() if not fine]


class Auditor:
    """Reads the world."""

    def __init__(self, sandbox_url: str, database: asyncpg.Pool) -> None:
        self._sandbox_url = sandbox_url
        self._database = database

    async def world(self, ids: Collection[str]) -> World:
        async with httpx.AsyncClient(base_url=self._sandbox_url) as sandbox:
            ledger = (await sandbox.get("/ledger")).json()
            requests = (await sandbox.get("/requests")).json()["requests"]
        of_orders = [
            await self._database.fetch(f"SELECT * FROM followthrough.{table} WHERE {column} = ANY($1)", list(ids))
            for table, column in (("orders", "id"), ("order_steps", "order_id"), ("reservations", "order_id"))
        ]
        events = await self._database.fetch(
            "SELECT * FROM followthrough.order_events WHERE order_id = ANY($1) ORDER BY order_id, sequence", list(ids)
        )
        orders, steps, reservations = ([dict(row) for row in rows] for rows in of_orders)
        return World(
            ids=tuple(ids),
            ledger={kind: [row for row in rows if row.get("order_id") in ids] for kind, rows in ledger.items()},
            requests=[row for row in requests if row["order_id"] in ids],
            orders={row["id"]: row for row in orders},
            steps={(row["order_id"], row["step"]): row for row in steps},
            events=[dict(row) for row in events],
            reservations=reservations,
        )

    async def statuses(self, ids: Collection[str]) -> list[str]:
        """The statuses our books show for those of these orders that they have."""
        rows = await self._database.fetch("SELECT status FROM followthrough.orders WHERE id = ANY($1)", list(ids))
        return [row["status"] for row in rows]

    async def stock(self, sku: str) -> tuple[int, int]:
        """Units in the warehouse, and of those the reserved ones."""
        row = await self._database.fetchrow("SELECT on_hand, reserved FROM followthrough.stock WHERE sku = $1", sku)
        assert row is not None
        return row["on_hand"], row["reserved"]
