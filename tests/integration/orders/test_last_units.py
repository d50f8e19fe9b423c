"""Stock that many want at once is sold exactly once."""

import asyncio
from collections import Counter

from contracts.orders import FINAL_STATUSES, OrderStatus
from tests.shop import Shop, Stock

BUYERS = 100
UNITS = 10


async def test_of_a_hundred_buyers_exactly_ten_get_the_last_ten_units(shop: Shop) -> None:
    scarce = await shop.goods(on_hand=UNITS)
    orders = [shop.order_of(scarce) for _ in range(BUYERS)]

    await asyncio.gather(*(order.start() for order in orders))
    outcomes = await asyncio.gather(*(order.outcome() for order in orders))

    assert Counter((outcome.status, outcome.failure and outcome.failure.code) for outcome in outcomes) == {
        ("completed", None): UNITS,
        ("rejected", "out_of_stock"): BUYERS - UNITS,
    }
    assert await shop.stock(scarce.sku) == Stock(on_hand=0, reserved=0)
    effects = await asyncio.gather(*(shop.ledger.effects(order.id) for order in orders))
    assert sum(len(effect.shipments) for effect in effects) == UNITS
    assert sum(len(effect.charges) for effect in effects) == UNITS


async def test_the_last_units_of_two_warehouses_are_sold_exactly_once_too(shop: Shop) -> None:
    """Half of the buyers want two, which one warehouse or both may have; who is left with one does not want it."""
    goods = await shop.goods(on_hand={"wh_lyon": 7, "wh_oslo": 6})
    orders = [shop.order_of(goods, quantity=1 + number % 2, customer_deadline_s=1) for number in range(30)]

    await asyncio.gather(*(order.start() for order in orders))
    booked = await asyncio.gather(*(order.settled() for order in orders))

    sold = sum(line.quantity for order in booked if order.status == "completed" for line in order.lines)
    effects = await asyncio.gather(*(shop.ledger.effects(order.id) for order in orders))
    assert sum(effect.money_kept for effect in effects) == sold * goods.price.amount
    assert await shop.stock(goods.sku) == Stock(on_hand=13 - sold, reserved=0)
    # Whoever wanted one was turned away only when there was none.
    assert sold >= 12


async def test_one_buyer_gets_all_the_next_what_is_left_if_they_want_it_and_the_others_nothing(shop: Shop) -> None:
    goods = await shop.goods(on_hand=5)
    orders = [shop.order_of(goods, quantity=3) for _ in range(4)]

    await asyncio.gather(*(order.start() for order in orders))
    settled = [OrderStatus.AWAITING_CUSTOMER, *FINAL_STATUSES]
    statuses = await asyncio.gather(*(order.until(*settled) for order in orders))

    assert Counter(statuses) == {"completed": 1, "awaiting_customer": 1, "rejected": 2}
    assert await shop.stock(goods.sku) == Stock(on_hand=2, reserved=2)
    [asked] = [order for order, status in zip(orders, statuses, strict=True) if status == "awaiting_customer"]
    await asked.cancel()
    assert await shop.stock(goods.sku) == Stock(on_hand=2, reserved=0)
