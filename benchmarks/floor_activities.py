"""The floor's effects: the same provider calls as ours, and bare transactions."""

from dataclasses import dataclass

import asyncpg
import httpx
from temporalio import activity

SCHEMA = """
CREATE SCHEMA IF NOT EXISTS floor;
CREATE TABLE IF NOT EXISTS floor.stock (sku text PRIMARY KEY, on_hand bigint, reserved bigint);
CREATE TABLE IF NOT EXISTS floor.orders (id text PRIMARY KEY, status text);
INSERT INTO floor.stock VALUES ('TEE', 100000000, 0) ON CONFLICT DO NOTHING;
"""


@dataclass(frozen=True)
class FloorOrder:
    """Two units of one SKU."""

    id: str


class FloorActivities:
    """Each step as directly as it can be done."""

    def __init__(self, pool: asyncpg.Pool, payments: httpx.AsyncClient, carrier: httpx.AsyncClient) -> None:
        self.pool = pool
        self.payments = payments
        self.carrier = carrier

    @activity.defn(name="floor_reserve")
    async def reserve(self, order: FloorOrder) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            entered = await connection.execute(
                "INSERT INTO floor.orders VALUES ($1, 'accepted') ON CONFLICT DO NOTHING", order.id
            )
            if entered == "INSERT 0 0":
                return  # a local activity may run again
            await connection.execute(
                "UPDATE floor.stock SET reserved = reserved + 2 WHERE sku = 'TEE' AND on_hand - reserved >= 2"
            )

    @activity.defn(name="floor_charge")
    async def charge(self, order: FloorOrder) -> None:
        response = await self.payments.post(
            "v1/payment_intents",
            data={
                "amount": "3998",
                "currency": "usd",
                "payment_method": "pm_card_visa",
                "confirm": "true",
                "metadata[order_id]": order.id,
                "metadata[step]": "charge",
            },
            headers={"Idempotency-Key": f"{order.id}:charge"},
        )
        response.raise_for_status()

    @activity.defn(name="floor_ship")
    async def ship(self, order: FloorOrder) -> None:
        response = await self.carrier.post(
            "v1/shipments",
            json={
                "order_id": order.id,
                "ship_to": {"name": "Ada", "line1": "12 Long St", "city": "Oslo", "postal_code": "1", "country": "NO"},
                "parcels": [{"sku": "TEE", "quantity": 2}],
            },
            headers={"Idempotency-Key": f"{order.id}:ship"},
        )
        response.raise_for_status()

    @activity.defn(name="floor_record")
    async def record(self, order: FloorOrder) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute("UPDATE floor.orders SET status = 'completed' WHERE id = $1", order.id)
            await connection.execute(
                "UPDATE floor.stock SET reserved = reserved - 2, on_hand = on_hand - 2 WHERE sku = 'TEE'"
            )
