"""Stock by warehouse, as Postgres has it."""

import asyncio
import itertools

import pytest
from sqlalchemy import func, select, update

from contracts.catalogue import CatalogueProduct
from contracts.money import Money
from database.catalogue import Catalogue, StockIsReserved
from database.tables import catalogue_items, stock, warehouses
from database.transaction import transaction
from tests.shop import WITHIN_S, Shop

_numbers = itertools.count(1)


def a_product() -> CatalogueProduct:
    return CatalogueProduct(sku=f"WAREHOUSES-{next(_numbers)}", name="Lamp", price=Money(amount=100))


async def units(shop: Shop, sku: str) -> dict[str, tuple[int, int]]:
    """(on_hand, reserved) of each warehouse that ever had this SKU."""
    async with shop.engine.connect() as connection:
        rows = await connection.execute(select(stock).where(stock.c.sku == sku))
        return {row.warehouse: (row.on_hand, row.reserved) for row in rows}


async def hold(shop: Shop, sku: str, warehouse: str, reserved: int) -> None:
    async with shop.engine.begin() as connection:
        place = (stock.c.sku == sku) & (stock.c.warehouse == warehouse)
        await connection.execute(update(stock).where(place).values(reserved=reserved))


async def test_named_warehouses_get_their_units_and_all_others_none(shop: Shop) -> None:
    product = a_product()

    await shop.catalogue.put(product, 7)
    assert await units(shop, product.sku) == {"wh_default": (7, 0)}
    await shop.catalogue.put(product, {"wh_oslo": 3, "wh_lyon": 1})
    assert await units(shop, product.sku) == {"wh_default": (0, 0), "wh_oslo": (3, 0), "wh_lyon": (1, 0)}
    await shop.catalogue.put(product, 2)
    assert await units(shop, product.sku) == {"wh_default": (2, 0), "wh_oslo": (0, 0), "wh_lyon": (0, 0)}


async def test_warehouses_are_created_when_they_are_first_named(shop: Shop) -> None:
    name = f"wh_first_{next(_numbers)}"
    query = select(warehouses.c.created_at).where(warehouses.c.id == name)
    await shop.catalogue.put(a_product(), {name: 1})
    async with shop.engine.connect() as connection:
        (created_at,) = await connection.scalars(query)

    await shop.catalogue.put(a_product(), {name: 2})

    async with shop.engine.connect() as connection:
        assert (await connection.scalars(query)).all() == [created_at]


async def test_units_that_orders_hold_stay_and_a_refusal_changes_nothing(shop: Shop) -> None:
    product = a_product()
    await shop.catalogue.put(product, {"wh_oslo": 3, "wh_lyon": 4})
    await hold(shop, product.sku, "wh_oslo", 2)
    await hold(shop, product.sku, "wh_lyon", 4)
    before = await units(shop, product.sku)

    with pytest.raises(StockIsReserved) as refused:
        await shop.catalogue.put(product.model_copy(update={"name": "Other"}), {"wh_oslo": 2, "wh_new": 9})

    assert refused.value.held == {"wh_lyon": 4}
    assert await units(shop, product.sku) == before
    async with shop.engine.connect() as connection:
        query = select(catalogue_items.c.name).where(catalogue_items.c.sku == product.sku)
        assert await connection.scalar(query) == "Lamp"
        known = select(func.count()).select_from(warehouses).where(warehouses.c.id == "wh_new")
        assert await connection.scalar(known) == 0

    item = await shop.catalogue.put(product, {"wh_oslo": 2, "wh_lyon": 5})
    assert item.available == 1
    assert await units(shop, product.sku) == {"wh_oslo": (2, 2), "wh_lyon": (5, 4)}


async def test_puts_and_reservations_at_once_neither_deadlock_nor_mix(shop: Shop) -> None:
    """Each put names warehouses that are new, in an order of its own; each reservation takes rows of every SKU."""
    products = [a_product() for _ in range(3)]
    skus = [product.sku for product in products]
    number = next(_numbers)
    for product in products:
        await shop.catalogue.put(product, {"wh_default": 1, f"wh_z_{number}": 1})

    async def put(turn: int, product: CatalogueProduct) -> None:
        named = [f"wh_{letter}_{number}_{turn // 6}" for letter in ("abc" if turn % 2 else "cba")]
        await Catalogue(shop.engine).put(product, dict.fromkeys(named, turn))

    async def reserve() -> None:
        async with transaction(shop.engine) as connection:
            lock = "SELECT FROM followthrough.stock WHERE sku = ANY($1::text[]) ORDER BY sku, warehouse FOR UPDATE"
            await connection.execute(lock, skus)
            change = "UPDATE followthrough.stock SET reserved = reserved {} WHERE sku = ANY($1::text[]) AND on_hand > 0"
            await connection.execute(change.format("+ 1"), skus)
            await connection.execute(change.format("- 1"), skus)

    turns = [(turn, product) for turn in range(1, 13) for product in products]
    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(*(put(*turn) for turn in turns), *(reserve() for _ in range(30)))

    for sku in skus:
        filled = {warehouse: on_hand for warehouse, (on_hand, _) in (await units(shop, sku)).items() if on_hand}
        assert len(filled) == 3, filled
        assert len(set(filled.values())) == 1, filled
