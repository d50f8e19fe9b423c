"""The orders' read side: what lists and single look-ups answer from."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import FromClause, Label, Select, literal_column, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.catalogue import CatalogueProduct
from contracts.failures import Failure
from contracts.fulfilments import Fulfilment, OrderLine
from contracts.money import Money
from contracts.orders import Address, Order, OrderStatus, Phase, TimelineEntry
from contracts.shipments import TrackedShipment
from contracts.steps import Step
from database.books import STEP_AS_JSON
from database.paging import Position, newest_first
from database.tables import order_skus, orders

_LOOK_UP = text("""
    SELECT
        (SELECT request_hash FROM followthrough.orders WHERE id = :order_id) AS request_hash,
        (SELECT CAST(json_agg(json_build_object(
            'sku', sku, 'name', name, 'price', json_build_object('amount', amount, 'currency', currency)
         )) AS text) FROM followthrough.catalogue_items WHERE sku = ANY(CAST(:skus AS text[]))) AS products
""")
# With the order's own row in one statement, and so of one moment: a status never contradicts its timeline.
_TIMELINE: Label[Any] = literal_column(
    "(SELECT CAST(json_agg(entries ORDER BY sequence) AS text)"
    " FROM followthrough.order_events AS entries WHERE order_id = followthrough.orders.id)"
).label("timeline")
_STEPS: Label[Any] = literal_column(
    f"(SELECT CAST(json_agg({STEP_AS_JSON} ORDER BY begun_at, fulfilment, step) AS text)"  # noqa: S608 - a constant
    " FROM followthrough.order_steps WHERE order_id = followthrough.orders.id)"
).label("steps")
_SHIPMENTS: Label[Any] = literal_column(
    "(SELECT CAST(json_agg(parcels) AS text)"
    " FROM followthrough.shipments AS parcels WHERE order_id = followthrough.orders.id)"
).label("shipments")
_PRODUCTS = TypeAdapter(list[CatalogueProduct])
_ENTRIES_READ = TypeAdapter(tuple[TimelineEntry, ...])
_SHIPMENTS_READ = TypeAdapter(tuple[TrackedShipment, ...])
_STEPS_READ = TypeAdapter(tuple[Step, ...])


@dataclass(frozen=True)
class BookedOrder:
    """An order as our books have it, with the hash of the request that placed it, and its workflow's run id."""

    order: Order
    request_hash: str
    run_id: str


@dataclass(frozen=True)
class LookUp:
    """What must be known to accept an order: whether this id was used, by which request, and the products by SKU."""

    request_hash: str | None
    products: dict[str, CatalogueProduct]


@dataclass(frozen=True)
class OrderFilter:
    """Which orders to list: those that fit every filter that is set. `created_after` itself is left out."""

    status: OrderStatus | None = None
    created_after: datetime | None = None
    sku: str | None = None


def listed(
    query: Select[Any], wanted: OrderFilter, *, customer_id: str | None, after: Position | None, limit: int | None
) -> Select[Any]:
    """A query of `orders` for at most `limit` that fit, newest first; of every customer when `customer_id` is None."""
    # Where each order stands in the list; an index in that order is walked until the page is full.
    places: FromClause = orders
    if wanted.sku is not None:
        with_sku = select(order_skus.c.created_at, order_skus.c.order_id.label("id")).where(
            order_skus.c.sku == wanted.sku
        )
        found = with_sku.subquery()
        query = query.join(found, found.c.id == orders.c.id)
        if wanted.status is None and customer_id is None:
            places = found
    if wanted.created_after is not None:
        query = query.where(places.c.created_at > wanted.created_after)
    if wanted.status is not None:
        query = query.where(orders.c.status == wanted.status)
    if customer_id is not None:
        query = query.where(orders.c.customer_id == customer_id)
    return newest_first(query, places, after, limit)


class OrderRepository:
    """Reads orders; the workflow's bookings write them (`database.books`)."""

    def __init__(self, engine: AsyncEngine) -> None:
        # Single statements need no transaction around them.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def look_up(self, order_id: str, skus: Collection[str]) -> LookUp:
        """Everything that accepting an order has to read, in one statement. Unknown SKUs are left out."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(_LOOK_UP, {"order_id": order_id, "skus": list(skus)})).one()
        products = _PRODUCTS.validate_json(row.products or "[]")
        return LookUp(row.request_hash, {product.sku: product for product in products})

    async def find(self, order_id: str) -> BookedOrder | None:
        async with self._engine.connect() as connection:
            found = await self._load(connection, select(orders).where(orders.c.id == order_id))
        return found[0] if found else None

    async def list(
        self, wanted: OrderFilter, *, customer_id: str | None, after: Position | None, limit: int
    ) -> Sequence[Order]:
        """At most `limit` orders, newest first; of every customer when `customer_id` is None."""
        query = listed(select(orders), wanted, customer_id=customer_id, after=after, limit=limit)
        async with self._engine.connect() as connection:
            return [booked.order for booked in await self._load(connection, query)]

    async def _load(self, connection: AsyncConnection, query: Select[Any]) -> Sequence[BookedOrder]:
        rows = (await connection.execute(query.add_columns(_TIMELINE, _STEPS, _SHIPMENTS))).all()
        return [
            BookedOrder(
                order=Order(
                    id=row.id,
                    customer_id=row.customer_id,
                    status=OrderStatus(row.status),
                    phase=Phase(row.phase),
                    lines=tuple(OrderLine.model_validate(line) for line in row.lines),
                    removed_lines=tuple(OrderLine.model_validate(line) for line in row.removed_lines),
                    fulfilments=tuple(Fulfilment.model_validate(fulfilment) for fulfilment in row.fulfilments),
                    total=Money(amount=row.total, currency=row.currency),
                    ship_to=Address.model_validate(row.ship_to),
                    failure=Failure.model_validate(row.failure) if row.failure else None,
                    timeline=_ENTRIES_READ.validate_json(row.timeline or "[]"),
                    steps=_STEPS_READ.validate_json(row.steps or "[]"),
                    shipments=_SHIPMENTS_READ.validate_json(row.shipments or "[]"),
                    revision=row.revision,
                    created_at=row.created_at,
                    updated_at=row.updated_at,
                ),
                request_hash=row.request_hash,
                run_id=row.run_id,
            )
            for row in rows
        ]
