"""Lists by SKU follow the lines of orders, whoever writes those."""

import json

from sqlalchemy import select, text

from contracts.orders import OrderStatus
from database.orders import OrderFilter
from database.tables import order_skus, orders
from tests.shop import Shop, ShopOrder


async def listed(shop: Shop, sku: str) -> list[str]:
    wanted = OrderFilter(sku=sku)
    return [order.id for order in await shop.books.list(wanted, customer_id=None, after=None, limit=10)]


async def rewrite_lines(shop: Shop, order: ShopOrder, *skus: str) -> None:
    line = order.placed.lines[0].model_dump(mode="json")
    lines = json.dumps([{**line, "sku": sku} for sku in skus])
    async with shop.engine.begin() as connection:
        change = text("UPDATE followthrough.orders SET lines = CAST(:lines AS jsonb) WHERE id = :id")
        await connection.execute(change, {"lines": lines, "id": order.id})


async def test_an_order_is_listed_by_the_skus_it_has_now(shop: Shop) -> None:
    order = await shop.place()
    await order.until(OrderStatus.COMPLETED)
    sku, added = order.sku, f"{order.sku}-ADDED"
    assert await listed(shop, sku) == [order.id]

    await rewrite_lines(shop, order, sku, added)
    assert (await listed(shop, sku), await listed(shop, added)) == ([order.id], [order.id])
    await rewrite_lines(shop, order, added)
    assert (await listed(shop, sku), await listed(shop, added)) == ([], [order.id])


async def test_other_changes_of_an_order_leave_its_skus_alone(shop: Shop) -> None:
    order = await shop.place()
    await order.until(OrderStatus.COMPLETED)
    query = (
        select(order_skus, orders.c.created_at.label("accepted_at"), text("order_skus.xmin = orders.xmin"))
        .join_from(order_skus, orders, orders.c.id == order_skus.c.order_id)
        .where(orders.c.id == order.id)
    )

    async with shop.engine.connect() as connection:
        (row,) = (await connection.execute(query)).all()

    assert (row.sku, row.created_at) == (order.sku, row.accepted_at)
    # The order was changed by later transactions than the one that wrote this row.
    assert row[-1] is False
