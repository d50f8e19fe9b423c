"""Stock and the reservations that hold it. Units reserved and units in the warehouse are always both accounted for."""

from collections.abc import Sequence

from contracts.orders import OrderLine
from database.transaction import Connection

DEFAULT_WAREHOUSE = "wh_default"

# Rows are locked in SKU order and in a statement of their own: so two orders cannot deadlock, and the statement that
# changes them sees them as they are under the lock.
_LOCK_WANTED = """
    SELECT sku, on_hand - reserved AS available
    FROM followthrough.stock
    WHERE sku = ANY($1::text[]) AND warehouse = $2
    ORDER BY sku
    FOR UPDATE
"""
_RESERVE = """
    WITH wanted AS (
        SELECT * FROM unnest($1::text[], $3::int[]) AS wanted (sku, quantity)
    ), taken AS (
        UPDATE followthrough.stock SET reserved = reserved + wanted.quantity
        FROM wanted
        WHERE stock.sku = wanted.sku AND stock.warehouse = $2
    )
    INSERT INTO followthrough.reservations (order_id, sku, warehouse, quantity, state)
    SELECT $4, sku, $2, quantity, 'held' FROM wanted
"""
_LOCK_HELD = """
    SELECT stock.sku
    FROM followthrough.stock JOIN followthrough.reservations USING (sku, warehouse)
    WHERE reservations.order_id = $1 AND reservations.state = 'held'
    ORDER BY stock.sku, stock.warehouse
    FOR UPDATE OF stock
"""
_END_RESERVATION = """
    WITH ended AS (
        UPDATE followthrough.reservations SET state = $2
        WHERE order_id = $1 AND state = 'held'
        RETURNING sku, warehouse, quantity
    )
    UPDATE followthrough.stock
    SET reserved = reserved - ended.quantity,
        on_hand = on_hand - CASE WHEN $2 = 'shipped' THEN ended.quantity ELSE 0 END
    FROM ended
    WHERE stock.sku = ended.sku AND stock.warehouse = ended.warehouse
"""


async def reserve(connection: Connection, order_id: str, lines: Sequence[OrderLine]) -> list[str]:
    """Set stock aside for every line or for none; the SKUs that are short come back."""
    wanted = {line.sku: line.quantity for line in lines}
    skus = list(wanted)
    rows = await connection.fetch(_LOCK_WANTED, skus, DEFAULT_WAREHOUSE)
    available: dict[str, int] = {row["sku"]: row["available"] for row in rows}
    short = sorted(sku for sku, quantity in wanted.items() if available.get(sku, 0) < quantity)
    if not short:
        await connection.execute(_RESERVE, skus, DEFAULT_WAREHOUSE, list(wanted.values()), order_id)
    return short


async def release(connection: Connection, order_id: str) -> bool:
    """Give back what the order holds. False when it holds nothing (any more)."""
    return await _end_reservation(connection, order_id, "released")


async def ship(connection: Connection, order_id: str) -> bool:
    """Take what the order holds out of the warehouse. False when it holds nothing (any more)."""
    return await _end_reservation(connection, order_id, "shipped")


async def _end_reservation(connection: Connection, order_id: str, state: str) -> bool:
    held = await connection.fetch(_LOCK_HELD, order_id)
    if held:
        await connection.execute(_END_RESERVATION, order_id, state)
    return bool(held)
