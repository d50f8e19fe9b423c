"""The worker is killed with orders in flight: a new one ends them all correctly, and soon."""

import pytest

from tests.chaos.cancels import press_cancel_button
from tests.chaos.figures import Figures
from tests.chaos.points import Moment, Point, Work, points
from tests.chaos.shop import Orders, Shop
from tests.chaos.workers import WorkerProcess, Workers

ORDERS = 50
# Those that stand at the very point; a worker takes no more than 20 at once, and the others wait for it in Temporal.
HELD = 20
# From its "worker started": how long Python takes to get there on a busy machine says nothing of orders.
ENDED_WITHIN_S = 5.0
# Short enough to wait for, and long enough for an attempt after one that was lost with its worker.
SHORT_RETRY_WINDOW_S = 8


def enough(point: Point) -> int:
    """How many orders have to be at the point before the worker dies."""
    return HELD if point.holds_orders else 1


async def assert_a_new_worker_ends_them(
    point: Point, orders: Orders, status: str, figures: Figures, workers: Workers, dying: WorkerProcess, how: str = ""
) -> None:
    figure = figures.begin(f"worker at {point}{how}", ORDERS)
    assert await dying.died_of_sigkill()
    assert point.misses(await orders.standing(point.work), held=enough(point), orders=ORDERS) == []

    worker = await workers.start()

    assert set(await orders.outcomes()) == {status}
    assert await orders.wrong() == []
    measured = await figure.take(orders, worker)
    if point.moment is Moment.AFTER_EFFECT:
        assert measured.repeated_requests >= HELD
    # Not every lost task shows: one that a heartbeat had just renewed leaves no event of its own.
    assert measured.repeated_tasks + measured.repeated_requests >= enough(point) / 2
    figure.verdict = f"all {status}, but LATE"
    assert measured.after_ready_s <= ENDED_WITHIN_S
    figure.verdict = f"all {status}"


@pytest.mark.parametrize("point", points(Work.RESERVE, Work.CHARGE, Work.SHIP), ids=str)
async def test_orders_that_lost_their_worker_on_the_way_forward_complete(
    shop: Shop, workers: Workers, figures: Figures, point: Point
) -> None:
    orders = await shop.place(ORDERS)
    dying = await workers.start_stopping(point, enough(point))

    await assert_a_new_worker_ends_them(point, orders, "completed", figures, workers, dying)


@pytest.mark.parametrize("point", [Point(work, Moment.AFTER_EFFECT) for work in (Work.CHARGE, Work.SHIP)], ids=str)
async def test_orders_that_lost_their_worker_in_a_visible_activity_complete(
    shop: Shop, workers: Workers, figures: Figures, point: Point
) -> None:
    orders = await shop.place(ORDERS)
    dying = await workers.start_stopping(point, enough(point), FOLLOWTHROUGH_PROVIDER_CALLS="regular")

    await assert_a_new_worker_ends_them(point, orders, "completed", figures, workers, dying, " (regular activity)")


@pytest.mark.parametrize("point", points(Work.REFUND, Work.RELEASE), ids=str)
async def test_orders_that_lost_their_worker_while_being_undone_are_undone(
    shop: Shop, workers: Workers, figures: Figures, point: Point
) -> None:
    await shop.providers_fail("carrier", "ship", "decline")
    orders = await shop.place(ORDERS)
    dying = await workers.start_stopping(point, enough(point))

    await assert_a_new_worker_ends_them(point, orders, "rejected", figures, workers, dying)


@pytest.mark.parametrize("point", points(Work.CANCEL_SHIPMENT), ids=str)
async def test_orders_that_lost_their_worker_while_being_called_back_are_undone(
    shop: Shop, workers: Workers, figures: Figures, point: Point
) -> None:
    """The carrier has them, our books don't know, and they stand before an operator when they are cancelled."""
    await shop.providers_fail("carrier", "ship", "error_after")
    orders = await shop.place(ORDERS, retry_window_s=SHORT_RETRY_WINDOW_S)
    first = await workers.start()
    await orders.reach("needs_attention")
    await first.kill()
    await shop.providers_recover()

    await press_cancel_button(orders.handles)
    dying = await workers.start_stopping(point, enough(point))

    await assert_a_new_worker_ends_them(point, orders, "cancelled", figures, workers, dying)
