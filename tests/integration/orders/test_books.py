"""Whoever opens an order sees all that was booked before, also what was booked while they waited for its lock.

Time never goes back in what they add."""

import asyncio
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from contracts.orders import EventType
from contracts.steps import StepName
from database.books import Books
from database.tables import order_events, orders
from tests.shop import WITHIN_S, Shop


async def test_a_booking_that_waited_for_another_one_sees_what_it_booked(shop: Shop) -> None:
    placed = shop.order_of(await shop.goods()).placed
    books = Books(shop.engine)
    now = datetime.now(UTC)
    async with books.placed(placed, now, "run") as (order, _):
        order.note(EventType.ACCEPTED, now, "first")

    async def wait_for_the_lock() -> tuple[bool, str]:
        async with books.order(placed.order_id) as order:
            return order.has(EventType.RESERVED), order.step(StepName.CHARGE, 1).key

    async with asyncio.timeout(WITHIN_S):
        async with books.order(placed.order_id) as order:
            waiting = asyncio.create_task(wait_for_the_lock())
            await shop.until_a_booking_waits()
            order.note(EventType.RESERVED, now, "second")
            order.announce(StepName.CHARGE, 1, now)
        assert await waiting == (True, f"{placed.order_id}-1:charge:1")


async def test_a_booking_whose_attempt_began_before_the_last_entry_does_not_go_back_in_time(shop: Shop) -> None:
    placed = shop.order_of(await shop.goods()).placed
    books = Books(shop.engine)
    later = placed.accepted_at + timedelta(seconds=2)
    async with books.placed(placed, placed.accepted_at, "run") as (order, _):
        order.note(EventType.ACCEPTED, placed.accepted_at, "first")
    async with books.order(placed.order_id) as order:
        order.note(EventType.RESERVED, later, "second")
    async with books.order(placed.order_id) as order:
        order.note(EventType.CHARGED, later - timedelta(seconds=1), "third")

    async with shop.engine.connect() as connection:
        instants = select(order_events.c.at).where(order_events.c.order_id == placed.order_id)
        entries = (await connection.scalars(instants.order_by(order_events.c.sequence))).all()
        updated_at = await connection.scalar(select(orders.c.updated_at).where(orders.c.id == placed.order_id))
    assert (entries, updated_at) == ([placed.accepted_at, later, later], later)


async def test_an_order_has_changed_when_a_call_is_announced(shop: Shop) -> None:
    """The fraud limit looks at the orders that changed within its window."""
    placed = shop.order_of(await shop.goods()).placed
    books = Books(shop.engine)
    later = placed.accepted_at + timedelta(hours=1)
    async with books.placed(placed, placed.accepted_at, "run") as (order, _):
        order.note(EventType.ACCEPTED, placed.accepted_at, "first")
    async with books.order(placed.order_id) as order:
        order.announce(StepName.CHARGE, 1, later)

    async with shop.engine.connect() as connection:
        assert await connection.scalar(select(orders.c.updated_at).where(orders.c.id == placed.order_id)) == later
