"""The worker is killed, then the cancel comes, then a new worker: the answer is definite, and the books agree."""

import pytest

from tests.chaos.cancels import press_cancel_button, send_cancel_updates
from tests.chaos.figures import Figures
from tests.chaos.points import Moment, Point, Work, points
from tests.chaos.shop import Handle, Shop
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
    # drops an update with the task of the worker that died, and repeats a charge that it knows of by itself, which then
    # announces the shipment.
    assert said == outcomes[: len(updated)]
    if point in TOO_LATE:
        assert set(outcomes) == {"completed"}
    else:
        ended = zip(pressed, outcomes[len(updated) :], strict=True)
        assert [handle.id for handle, how in ended if how != "cancelled" and not await has_regular_charge(handle)] == []
    assert await orders.wrong() == []
    await figure.take(orders, worker)
    figure.verdict = f"{answers.count('cancelled')} updates in time, {answers.count('too_late')} too late: all agree"


async def has_regular_charge(handle: Handle) -> bool:
    """Whether Temporal knew of the charge: on a slow machine its local try may have ended before the worker died."""
    return any(
        event.activity_task_scheduled_event_attributes.activity_type.name == Work.CHARGE
        for event in (await handle.fetch_history()).events
    )
