"""The worker is killed, then the cancel comes, then a new worker: the answer is definite, and the books agree."""

import pytest

from tests.chaos.cancels import press_cancel_button, send_cancel_updates
from tests.chaos.figures import Figures
from tests.chaos.points import Moment, Point, Work, points
from tests.chaos.shop import Shop
from tests.chaos.workers import Workers

ORDERS = 20
# From here on our books have announced the shipment: the carrier may know of the order.
TOO_LATE = (Point(Work.CHARGE, Moment.AFTER_COMMIT), *points(Work.SHIP))


@pytest.mark.parametrize("point", points(Work.RESERVE, Work.CHARGE, Work.SHIP), ids=str)
async def test_a_cancel_between_two_workers_is_answered_with_what_is_true(
    shop: Shop, workers: Workers, figures: Figures, point: Point
) -> None:
    figure = figures.begin(f"worker at {point}, then cancel", ORDERS)
    orders = await shop.place(ORDERS)
    held = ORDERS if point.holds_orders else 1
    dying = await workers.start_stopping(point, held)
    assert await dying.died_of_sigkill()
    assert point.misses(await orders.standing(point.work), held=held, orders=ORDERS) == []

    updated, pressed = orders.handles[: ORDERS // 2], orders.handles[ORDERS // 2 :]
    cancels = await send_cancel_updates(shop.client, updated)
    await press_cancel_button(pressed)
    worker = await workers.start()

    answers = await cancels.answered()
    outcomes = await orders.outcomes()
    said = [{"cancelled": "cancelled", "too_late": "completed"}[answer] for answer in answers]
    # Whatever is answered is what happened. Even before the shipment is announced a cancel may come too late: Temporal
    # drops an update with the task of the worker that died, and a charge that was under way is finished first, which
    # announces the shipment.
    assert said == outcomes[: len(updated)]
    assert set(outcomes) == {"completed"} if point in TOO_LATE else "cancelled" in outcomes[len(updated) :]
    assert await orders.wrong() == []
    await figure.take(orders, worker)
    figure.verdict = f"{answers.count('cancelled')} updates in time, {answers.count('too_late')} too late: all agree"
