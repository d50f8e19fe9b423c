"""How many orders come and how they end, for the console's overview: counted, and no further than it says."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import text

from contracts.orders import OrderStatus
from database.order_figures import COUNTED, OrderCounts
from tests.many_orders import many_orders
from tests.shop import Shop

MANY = 3 * COUNTED
# While one counts, a moment passes.
LATER = 3
ALL = text("""
    SELECT count(*) FILTER (WHERE created_at > now() - make_interval(mins => :minutes)) AS accepted,
        count(*) FILTER (WHERE phase = 'closed' AND updated_at > now() - interval '1 hour') AS ended
    FROM followthrough.orders
""")


async def test_orders_are_counted_by_when_they_came_and_how_they_ended(shop: Shop) -> None:
    # One a second, all of which ended just now: sixty were completed, and thirty rejected.
    async with many_orders(shop, f"customer-{uuid4().hex}", 90, datetime.now(UTC)):
        now = await OrderCounts(shop.engine).now()
        async with shop.engine.connect() as connection:
            counted = {minutes: (await connection.execute(ALL, {"minutes": minutes})).one() for minutes in now.accepted}

    for minutes, count in now.accepted.items():
        assert abs(count - min(COUNTED, counted[minutes].accepted)) <= LATER
    assert sum(one.count for one in now.ended) == min(COUNTED, counted[1].ended)
    ended = {(one.status, one.code): one.count for one in now.ended}
    assert ended[OrderStatus.COMPLETED, None] >= 60
    assert ended[OrderStatus.REJECTED, "out_of_stock"] >= 30


async def test_counting_stops_however_many_there_are(shop: Shop) -> None:
    async with many_orders(shop, f"customer-{uuid4().hex}", MANY, datetime.now(UTC) + timedelta(seconds=MANY / 2)):
        now = await OrderCounts(shop.engine).now()

    assert now.accepted[60] == COUNTED
    assert sum(one.count for one in now.ended) == COUNTED
