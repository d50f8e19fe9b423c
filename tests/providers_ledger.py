"""The sandbox as a witness: what the providers really did, and which requests met a fault."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx

Json = dict[str, Any]

PROVIDER_OF = {
    "charge": "payments",
    "refund": "payments",
    "ship": "carrier",
    "cancel_shipment": "carrier",
    "track": "carrier",
    "send": "email",
}
POLL_S = 0.05


@dataclass(frozen=True)
class Effects:
    """One order's effects at the providers: a row per effect, never per request."""

    charges: tuple[Json, ...]
    refunds: tuple[Json, ...]
    shipments: tuple[Json, ...]

    def under(self, key: str) -> "Effects":
        """Those whose idempotency key begins with this."""
        charges, refunds, shipments = (
            tuple(row for row in rows if row["key"].startswith(key))
            for rows in (self.charges, self.refunds, self.shipments)
        )
        return Effects(charges, refunds, shipments)

    @property
    def money_kept(self) -> int:
        """What was taken and not given back, in minor units."""
        return _succeeded(self.charges) - _succeeded(self.refunds)

    @property
    def shipment_statuses(self) -> list[str]:
        return [shipment["status"] for shipment in self.shipments]


def _succeeded(rows: tuple[Json, ...]) -> int:
    return sum(row["amount"] for row in rows if row["status"] == "succeeded")


class ProvidersLedger:
    """Asks the sandbox, which keeps its own ledger, and has it misbehave."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def misbehave(
        self, match: str, operation: str, behaviour: str, *, times: int | None = 1, delay_s: float | None = None
    ) -> None:
        """Have requests of this order, or mails to this address, meet a fault."""
        plan = {
            "provider": PROVIDER_OF[operation],
            "operation": operation,
            "behaviour": behaviour,
            "times": times,
            "delay_s": delay_s,
            "match": match,
        }
        response = await self._http.post("/faults", json=plan)
        assert response.status_code == 201, response.text

    async def behave(self) -> None:
        """Clear every fault."""
        assert (await self._http.delete("/faults")).is_success

    async def travels(self, match: str, *steps: str, **plan: Any) -> None:
        """Have shipments take these steps: those that `match` names, now or once they are booked."""
        response = await self._http.post("/journeys", json={"match": match, "steps": steps, **plan})
        assert response.status_code == 201, response.text

    async def stand_still(self) -> None:
        """Forget every journey."""
        assert (await self._http.delete("/journeys")).is_success

    async def tracking(self, order_id: str) -> list[Json]:
        """The steps that the order's shipments took, and how often the webhook of each was sent."""
        return list((await self._get("/tracking", order_id))["tracking"])

    async def until_told(self, order_id: str, steps: int) -> list[Json]:
        """Wait until so many steps were taken, and the webhook of each was received."""
        while True:
            tracking = await self.tracking(order_id)
            if len(tracking) >= steps and all(told["answer"] == 200 for told in tracking):
                return tracking
            await asyncio.sleep(POLL_S)

    async def asked_where(self, order_id: str) -> list[int]:
        """The answers that those who asked where the order's shipments are have got."""
        return [row["status"] for row in await self.requests(order_id) if row["operation"] == "track"]

    async def effects(self, order_id: str) -> Effects:
        ledger = await self._get("/ledger", order_id)
        return Effects(
            charges=tuple(ledger["charges"]),
            refunds=tuple(ledger["refunds"]),
            shipments=tuple(ledger["shipments"]),
        )

    async def mails(self, address: str) -> list[Json]:
        """Every mail that the mail server took for this address, oldest first."""
        response = await self._http.get("/inbox.json", params={"to": address})
        assert response.status_code == 200, response.text
        return list(response.json()["messages"])

    async def requests(self, order_id: str) -> list[Json]:
        """Every request about this order that reached a provider, oldest first."""
        return list((await self._get("/requests", order_id))["requests"])

    async def fired(self, order_id: str) -> list[tuple[str, str]]:
        """The operation and behaviour of each fault that the order's requests met."""
        return [(row["operation"], row["fault"]) for row in await self.requests(order_id) if row["fault"]]

    async def until_fired(self, order_id: str, operation: str, behaviour: str) -> int:
        """Wait for a request that met this fault, and count those; a slow one is logged when its work is done."""
        while not (times := (await self.fired(order_id)).count((operation, behaviour))):
            await asyncio.sleep(POLL_S)
        return times

    async def until_asked(self, order_id: str, requests: int) -> None:
        """Wait until providers have answered that many requests of the order."""
        while len(await self.requests(order_id)) < requests:
            await asyncio.sleep(POLL_S)

    async def _get(self, path: str, order_id: str) -> Json:
        response = await self._http.get(path, params={"order_id": order_id})
        response.raise_for_status()
        found: Json = response.json()
        return found
