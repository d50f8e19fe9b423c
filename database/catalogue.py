"""The catalogue: what is sold, at what price, and how much of it there is."""

from collections.abc import Mapping

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.catalogue import CatalogueItem, CatalogueProduct
from contracts.fulfilments import DEFAULT_WAREHOUSE
from contracts.money import Money
from database.tables import catalogue_items, stock, warehouses


class StockIsReserved(Exception):
    """Fewer units were named than orders already hold; `held` has what they hold where it is so, by warehouse."""

    def __init__(self, held: Mapping[str, int]) -> None:
        super().__init__(f"orders hold {dict(held)}")
        self.held = held


class Catalogue:
    """Reads and writes catalogue items."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # Single statements need no transaction around them.
        self._reads = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def items(self) -> list[CatalogueItem]:
        """Everything on sale, by SKU."""
        query = (
            select(catalogue_items, func.coalesce(func.sum(stock.c.on_hand - stock.c.reserved), 0).label("available"))
            .outerjoin(stock)
            .group_by(catalogue_items.c.sku)
            .order_by(catalogue_items.c.sku)
        )
        async with self._reads.connect() as connection:
            return [
                CatalogueItem(
                    sku=row.sku,
                    name=row.name,
                    price=Money(amount=row.amount, currency=row.currency),
                    available=row.available,
                )
                for row in await connection.execute(query)
            ]

    async def put(self, product: CatalogueProduct, on_hand: int | Mapping[str, int]) -> CatalogueItem:
        """Create or replace an item; what orders hold stays held.

        `on_hand` counts the units in each warehouse, or in the default one. All others then have none of this item.
        Raises StockIsReserved when that is less anywhere than orders hold there.
        """
        counted = {DEFAULT_WAREHOUSE: on_hand} if isinstance(on_hand, int) else on_hand
        async with self._engine.begin() as connection:
            await _put_item(connection, product)
            await _know_warehouses(connection, counted)
            available = await _put_stock(connection, product.sku, counted)
        return CatalogueItem(sku=product.sku, name=product.name, price=product.price, available=available)


async def _put_item(connection: AsyncConnection, product: CatalogueProduct) -> None:
    """Its row is locked then: whoever else puts this item waits, and never meets us among the rows of its stock."""
    item = insert(catalogue_items).values(
        sku=product.sku, name=product.name, amount=product.price.amount, currency=product.price.currency
    )
    await connection.execute(
        item.on_conflict_do_update(
            index_elements=["sku"],
            set_={
                "name": item.excluded.name,
                "amount": item.excluded.amount,
                "currency": item.excluded.currency,
                "updated_at": func.now(),
            },
        )
    )


async def _know_warehouses(connection: AsyncConnection, counted: Mapping[str, int]) -> None:
    """In order of their ids and before any stock is locked, so that items put at once cannot deadlock."""
    new = insert(warehouses).values([{"id": warehouse} for warehouse in sorted(counted)])
    await connection.execute(new.on_conflict_do_nothing())


async def _put_stock(connection: AsyncConnection, sku: str, counted: Mapping[str, int]) -> int:
    """Replace the stock of an item, and return how many units of it can be ordered now. Raises StockIsReserved."""
    # Reservations lock the rows of warehouses in this order, too.
    rows = await connection.execute(
        select(stock.c.warehouse, stock.c.reserved)
        .where(stock.c.sku == sku)
        .order_by(stock.c.warehouse.collate("C"))
        .with_for_update()
    )
    reserved: dict[str, int] = {row.warehouse: row.reserved for row in rows}
    on_hand = {**dict.fromkeys(reserved, 0), **counted}
    short = {warehouse: held for warehouse, held in reserved.items() if on_hand[warehouse] < held}
    if short:
        raise StockIsReserved(short)
    units = insert(stock).values(
        [{"sku": sku, "warehouse": warehouse, "on_hand": count} for warehouse, count in on_hand.items()]
    )
    await connection.execute(
        units.on_conflict_do_update(index_elements=["sku", "warehouse"], set_={"on_hand": units.excluded.on_hand})
    )
    return sum(on_hand.values()) - sum(reserved.values())
