"""Stock and the reservations that hold it. Units reserved and units in the warehouse are always both accounted for."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from contracts.fulfilments import Fulfilment
from database.spendings import CHECKS_FRAUD
from database.transaction import Connection

# Rows are locked in one order, that of warehouses, which fulfilments are numbered by, and then of SKUs; and in a
# statement of their own: so two orders cannot deadlock, and the statement that changes them sees them as they are under
# the lock.
_LOCK_WANTED = f"""
    SELECT sku, warehouse, on_hand - reserved AS available,
        EXISTS (SELECT FROM followthrough.orders WHERE id = $2) AS entered, {CHECKS_FRAUD} AS checks_fraud
    FROM followthrough.stock
    WHERE sku = ANY($1::text[])
    ORDER BY warehouse COLLATE "C", sku COLLATE "C"
    FOR UPDATE OF stock
"""  # noqa: S608 - put together from constants
_RESERVE = """
    WITH wanted AS (
        SELECT * FROM unnest($2::text[], $3::text[], $4::int[]) AS wanted (sku, warehouse, quantity)
    ), taken AS (
        UPDATE followthrough.stock SET reserved = reserved + wanted.quantity
        FROM wanted
        WHERE stock.sku = wanted.sku AND stock.warehouse = wanted.warehouse
    )
    INSERT INTO followthrough.reservations (order_id, sku, warehouse, quantity, state)
    SELECT $1, sku, warehouse, quantity, 'held' FROM wanted
"""
_LOCK_HELD = """
    SELECT stock.sku
    FROM followthrough.stock JOIN followthrough.reservations USING (sku, warehouse)
    WHERE reservations.order_id = $1 AND warehouse = $2 AND reservations.state = 'held'
    ORDER BY stock.sku COLLATE "C"
    FOR UPDATE OF stock
"""
_END_RESERVATION = """
    WITH ended AS (
        UPDATE followthrough.reservations SET state = $3
        WHERE order_id = $1 AND warehouse = $2 AND state = 'held'
        RETURNING sku, quantity
    )
    UPDATE followthrough.stock
    SET reserved = reserved - ended.quantity,
        on_hand = on_hand - CASE WHEN $3 = 'shipped' THEN ended.quantity ELSE 0 END
    FROM ended
    WHERE stock.sku = ended.sku AND stock.warehouse = $2
"""

# Units of each SKU by warehouse.
Available = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Stock:
    """What can be had while its rows are locked.

    Besides, whether our books had this order when that was asked, and whether it is to be checked before it is charged.
    """

    available: Available
    order_is_entered: bool
    checks_fraud: bool


async def lock(connection: Connection, order_id: str, skus: Collection[str]) -> Stock:
    """Lock the stock of these SKUs in every warehouse. Each of them must be in the catalogue."""
    rows = await connection.fetch(_LOCK_WANTED, list(skus), order_id)
    available: dict[str, dict[str, int]] = {}
    for row in rows:
        available.setdefault(row["sku"], {})[row["warehouse"]] = row["available"]
    return Stock(
        available,
        order_is_entered=any(row["entered"] for row in rows),
        checks_fraud=any(row["checks_fraud"] for row in rows),
    )


async def reserve(connection: Connection, order_id: str, fulfilments: Iterable[Fulfilment]) -> None:
    """Set aside what warehouses are to send, if anything. Their stock is locked, and there is enough."""
    wanted = [
        (line.sku, fulfilment.warehouse, line.quantity)
        for fulfilment in fulfilments
        if fulfilment.warehouse is not None
        for line in fulfilment.lines
    ]
    if wanted:
        await connection.execute(_RESERVE, order_id, *(list(column) for column in zip(*wanted, strict=True)))


async def release(connection: Connection, order_id: str, warehouse: str) -> bool:
    """Give back what the order holds in this warehouse. False when it holds nothing (any more)."""
    return await _end_reservation(connection, order_id, warehouse, "released")


async def ship(connection: Connection, order_id: str, warehouse: str) -> bool:
    """Take what the order holds out of this warehouse. False when it holds nothing (any more)."""
    return await _end_reservation(connection, order_id, warehouse, "shipped")


async def _end_reservation(connection: Connection, order_id: str, warehouse: str, state: str) -> bool:
    held = await connection.fetch(_LOCK_HELD, order_id, warehouse)
    if held:
        await connection.execute(_END_RESERVATION, order_id, warehouse, state)
    return bool(held)
