"""Orders whose timeline is longer than what lies between us and a client can hold."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import insert

from contracts.ids import order_id_for
from contracts.orders import EventType, OrderStatus
from database.tables import order_events, orders
from tests.acceptance.client import Caller
from tests.shop import ADA, Shop

# More than the buffers between us and a client take (Linux: 4 MiB for sending): whoever reads none of it blocks.
EVENTS = 100
DETAIL = "x" * 100_000


async def long_order(shop: Shop, customer: Caller) -> str:
    """An order of this customer with a long story."""
    order_id, at = order_id_for(customer.subject, uuid4().hex), datetime.now(UTC)
    order = {
        "id": order_id,
        "customer_id": customer.subject,
        "status": OrderStatus.COMPLETED,
        "phase": "closed",
        "lines": [],
        "total": 1_999,
        "currency": "usd",
        "ship_to": ADA.model_dump(),
        "request_hash": "",
        "request_id": "",
        "run_id": "",
        "created_at": at,
        "updated_at": at,
    }
    types = [EventType.ACCEPTED, *[EventType.RETRIED] * (EVENTS - 2), EventType.COMPLETED]
    entries = [
        {
            "order_id": order_id,
            "sequence": sequence,
            "key": str(sequence),
            "type": type_,
            "at": at + timedelta(seconds=sequence),
            "detail": DETAIL,
        }
        for sequence, type_ in enumerate(types, 1)
    ]
    async with shop.engine.begin() as connection:
        await connection.execute(insert(orders), order)
        await connection.execute(insert(order_events), entries)
    return order_id
