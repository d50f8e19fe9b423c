"""More orders than could be placed one by one: as our books would have them, written by Postgres."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy import text

from tests.shop import Shop

# One a second until `newest`. Every third is rejected, every second has two lines.
_INSERT = text("""
    INSERT INTO followthrough.orders (id, customer_id, status, phase, lines, total, currency, ship_to, failure,
        request_hash, request_id, run_id, created_at, updated_at)
    SELECT 'ord_0' || upper(left(md5(:customer_id || n), 25)), :customer_id,
        CASE WHEN n % 3 = 0 THEN 'rejected' ELSE 'completed' END, 'closed',
        CASE WHEN n % 2 = 0 THEN jsonb_build_array(CAST(:line_a AS jsonb), CAST(:line_b AS jsonb))
            ELSE jsonb_build_array(CAST(:line_a AS jsonb)) END,
        CASE WHEN n % 2 = 0 THEN 4498 ELSE 3998 END, 'usd',
        '{"name": "Ada", "line1": "12 Long St", "city": "Tromsø", "postal_code": "9008", "country": "NO"}',
        CASE WHEN n % 3 = 0 THEN CAST('{"code": "out_of_stock", "message": "none left"}' AS jsonb) END,
        repeat('0', 64), 'many', gen_random_uuid(),
        CAST(:newest AS timestamptz) - n * interval '1 second', CAST(:newest AS timestamptz)
    FROM generate_series(0, CAST(:count AS integer) - 1) AS n
""")
_LINES = {
    "line_a": {"sku": "MANY-A", "name": "A", "quantity": 2, "unit_price": {"amount": 1999, "currency": "usd"}},
    "line_b": {"sku": "MANY-B", "name": "B", "quantity": 1, "unit_price": {"amount": 500, "currency": "usd"}},
}
_DELETE = [
    text(f"DELETE FROM followthrough.{table} WHERE {column} IN {orders}")
    for table, column, orders in (
        ("order_skus", "order_id", "(SELECT id FROM followthrough.orders WHERE customer_id = :customer_id)"),
        ("orders", "customer_id", "(:customer_id)"),
    )
]


@asynccontextmanager
async def many_orders(shop: Shop, customer_id: str, count: int, newest: datetime) -> AsyncIterator[None]:
    """Have this many orders of a customer while the context is open."""
    async with shop.engine.begin() as connection:
        lines = {name: json.dumps(line) for name, line in _LINES.items()}
        await connection.execute(_INSERT, {"customer_id": customer_id, "count": count, "newest": newest, **lines})
    try:
        yield
    finally:
        async with shop.engine.begin() as connection:
            for statement in _DELETE:
                await connection.execute(statement, {"customer_id": customer_id})
