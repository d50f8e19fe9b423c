"""The catalogue: what is sold, at what price, and how much of it there is."""

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.catalogue import CatalogueItem, CatalogueProduct
from contracts.fulfilments import DEFAULT_WAREHOUSE
from contracts.money import Money
from database.tables import catalogue_items, stock


class StockIsReserved(Exception):
    """Fewer units were named than orders already hold."""


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

    async def put(self, product: CatalogueProduct, on_hand: int) -> CatalogueItem:
        """Create or replace an item; what orders hold stays held.

        Raises StockIsReserved when `on_hand` is less than that.
        """
        item = insert(catalogue_items).values(
            sku=product.sku, name=product.name, amount=product.price.amount, currency=product.price.currency
        )
        units = insert(stock).values(sku=product.sku, warehouse=DEFAULT_WAREHOUSE, on_hand=on_hand)
        try:
            async with self._engine.begin() as connection:
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
                reserved = await connection.scalar(
                    units.on_conflict_do_update(
                        index_elements=["sku", "warehouse"], set_={"on_hand": units.excluded.on_hand}
                    ).returning(stock.c.reserved)
                )
        except IntegrityError as error:
            raise StockIsReserved(product.sku) from error
        return CatalogueItem(
            sku=product.sku, name=product.name, price=product.price, available=on_hand - (reserved or 0)
        )
