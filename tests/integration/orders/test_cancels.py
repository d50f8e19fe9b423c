"""Cancels at every moment of an order, by update and by the Web UI's button: books and answer always agree."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from activities.orders import OrderActivities
from contracts.books import Park
from contracts.orders import OrderStatus
from contracts.steps import StepName
from database.books import Books
from tests.answers import OVER, answer
from tests.shop import ON_HAND, WITHIN_S, Evidence, Shop, ShopOrder, Stock

AMOUNT = 1_999
LARGE = 60_000
AT_ONCE = 24
SLOW_S = 0.4
SLOWER_THAN_A_LOCAL_TRY_S = 2.5


def books_agree(evidence: Evidence) -> bool:
    """Completed: charged once and shipped. Cancelled: nothing was kept, sent or held."""
    shipped = evidence.status is OrderStatus.COMPLETED
    return (
        evidence.effects.money_kept == (AMOUNT if shipped else 0)
        and ("booked" in evidence.effects.shipment_statuses) == shipped
        and evidence.stock == Stock(on_hand=ON_HAND - int(shipped), reserved=0)
        and evidence.view.status is evidence.status
    )


def answer_is_true(said: str, evidence: Evidence) -> bool:
    """Who was told `too_late` gets the goods, and nobody else does but when the order was over first.

    `processing` and `needs_attention` say that the undo takes longer than a client would wait.
    """
    match said:
        case "cancelled" | "processing" | "needs_attention":
            return evidence.status is OrderStatus.CANCELLED
        case "too_late":
            return evidence.status is OrderStatus.COMPLETED
        case _:
            return said == OVER and evidence.status.is_final


async def cancelled_while_slow(shop: Shop, step: str, delay_s: float, *, by_button: bool) -> tuple[str, Evidence]:
    """Cancel an order while its provider takes this long to answer."""
    order = await shop.order(amount=AMOUNT, retry_window_s=10)
    await order.meets(step, "slow", delay_s=delay_s)
    await order.start()
    requests_before = 0 if step == "charge" else 1
    await shop.ledger.until_asked(order.id, requests_before)
    said = await answer(order.handle.cancel() if by_button else order.cancel())
    return said, await order.settled_evidence()


@pytest.mark.parametrize("step", ["charge", "ship"])
@pytest.mark.parametrize("delay_s", [SLOW_S, SLOWER_THAN_A_LOCAL_TRY_S])
async def test_a_cancel_that_races_with_a_provider_call_is_answered_truly(
    shop: Shop, step: str, delay_s: float
) -> None:
    async with asyncio.timeout(WITHIN_S):
        raced = await asyncio.gather(
            *(cancelled_while_slow(shop, step, delay_s, by_button=False) for _ in range(AT_ONCE // 4))
        )

    assert [said for said, evidence in raced if not answer_is_true(said, evidence)] == []
    assert [evidence for _, evidence in raced if not books_agree(evidence)] == []


@pytest.mark.parametrize("step", ["charge", "ship"])
async def test_the_cancel_button_may_be_pressed_during_any_step(shop: Shop, step: str) -> None:
    async with asyncio.timeout(WITHIN_S):
        raced = await asyncio.gather(
            *(cancelled_while_slow(shop, step, SLOW_S, by_button=True) for _ in range(AT_ONCE // 4))
        )

    assert [evidence for _, evidence in raced if not books_agree(evidence)] == []


async def test_a_button_pressed_too_late_does_not_cancel_the_order_when_it_parks_later(shop: Shop) -> None:
    order = await shop.order(amount=AMOUNT, retry_window_s=2)
    await order.meets("ship", "error_before", times=1_000)
    await order.start()
    # The local try is over: the shipment is being retried where operators see it.
    await shop.ledger.until_asked(order.id, 2)
    await order.handle.cancel()
    await order.parked()

    await shop.ledger.behave()
    await order.retry()

    assert (await order.settled()).status is OrderStatus.COMPLETED


async def test_cancels_at_the_very_start_leave_nothing_half_done(shop: Shop) -> None:
    async def race(order: ShopOrder) -> tuple[str, Evidence]:
        await order.start()
        said = await answer(order.cancel())
        return said, await order.settled_evidence()

    orders = [await shop.order(amount=AMOUNT) for _ in range(AT_ONCE)]
    async with asyncio.timeout(WITHIN_S):
        raced = await asyncio.gather(*map(race, orders))

    assert [said for said, evidence in raced if not answer_is_true(said, evidence)] == []
    assert [evidence for _, evidence in raced if not books_agree(evidence)] == []


async def test_the_cancel_button_pressed_before_the_first_step_still_gives_a_final_status(shop: Shop) -> None:
    order = await shop.order(amount=AMOUNT)
    await order.start(start_delay=timedelta(seconds=1))
    await order.handle.cancel()

    evidence = await order.settled_evidence()

    assert (evidence.status, evidence.failure_code) == (OrderStatus.CANCELLED, "cancelled_by_customer")
    assert books_agree(evidence)
    assert evidence.fired == ()


async def test_the_cancel_button_ends_a_wait_for_approval(shop: Shop) -> None:
    order = await shop.place(amount=LARGE)
    await order.until(OrderStatus.AWAITING_APPROVAL)

    await order.handle.cancel()

    evidence = await order.settled_evidence()
    assert (evidence.status, evidence.failure_code) == (OrderStatus.CANCELLED, "cancelled_by_customer")
    assert books_agree(evidence)


async def test_the_cancel_button_on_a_parked_order_undoes_it(shop: Shop) -> None:
    order = await parked_on(shop, "ship")

    await order.handle.cancel()

    evidence = await order.settled_evidence()
    assert evidence.status is OrderStatus.CANCELLED
    assert books_agree(evidence)


async def test_the_cancel_button_during_the_undo_changes_nothing(shop: Shop) -> None:
    order = await shop.order(amount=AMOUNT, retry_window_s=10)
    await order.meets("ship", "decline")
    await order.meets("refund", "slow", delay_s=SLOW_S)
    await order.start()
    await shop.ledger.until_asked(order.id, 2)

    await order.handle.cancel()

    evidence = await order.settled_evidence()
    assert (evidence.status, evidence.failure_code) == (OrderStatus.REJECTED, "shipping_failed")
    assert books_agree(evidence)


async def test_a_cancel_while_the_charge_is_being_retried_stops_the_retries(shop: Shop) -> None:
    order = await shop.order(amount=AMOUNT, retry_window_s=60)
    await order.meets("charge", "unavailable", times=2)
    await order.start()
    await shop.ledger.until_asked(order.id, 2)

    assert await answer(order.cancel()) == "cancelled"

    evidence = await order.settled_evidence()
    assert evidence.status is OrderStatus.CANCELLED
    assert books_agree(evidence)


async def test_a_cancel_while_the_carrier_is_being_asked_again_comes_too_late(shop: Shop) -> None:
    order = await shop.order(amount=AMOUNT, retry_window_s=60)
    await order.meets("ship", "unavailable", times=3)
    await order.start()
    await shop.ledger.until_fired(order.id, "ship", "unavailable")

    assert await answer(order.cancel()) == "too_late"

    evidence = await order.settled_evidence()
    assert evidence.status is OrderStatus.COMPLETED
    assert books_agree(evidence)


async def test_a_completed_order_cannot_be_cancelled(shop: Shop) -> None:
    order = await shop.place(amount=AMOUNT)
    before = await order.settled()

    assert await answer(order.cancel()) == OVER
    assert await order.booked() == before


async def test_whoever_asks_while_an_order_ends_is_answered(shop: Shop) -> None:
    async def pester(order: ShopOrder) -> tuple[set[str], Evidence]:
        """Ask over and over, from before the first step until the workflow is over."""
        await order.start()
        said: set[str] = set()
        while OVER not in said:
            said.update(await asyncio.gather(answer(order.cancel()), answer(order.retry())))
        return said, await order.settled_evidence()

    orders = [await shop.order(amount=AMOUNT) for _ in range(8)]
    async with asyncio.timeout(WITHIN_S):
        pestered = await asyncio.gather(*map(pester, orders))

    for said, evidence in pestered:
        assert all(answer_is_true(word, evidence) for word in said - {"not_parked"})
        assert books_agree(evidence)


async def test_many_cancels_at_once_all_get_the_same_answer(shop: Shop) -> None:
    order = await shop.place(amount=LARGE)
    await order.until(OrderStatus.AWAITING_APPROVAL)

    async with asyncio.timeout(WITHIN_S):
        said = await asyncio.gather(*(answer(order.cancel()) for _ in range(10)))

    assert set(said) <= {"cancelled", OVER}
    assert "cancelled" in said
    evidence = await order.settled_evidence()
    assert evidence.timeline.count("cancelled") == 1
    assert books_agree(evidence)


async def test_a_cancel_that_meets_an_approval_leads_to_one_of_the_two(shop: Shop) -> None:
    async def race(order: ShopOrder) -> tuple[str, Evidence]:
        await order.until(OrderStatus.AWAITING_APPROVAL)
        said, _ = await asyncio.gather(answer(order.cancel()), answer(order.decide(approved=True)))
        return said, await order.settled_evidence()

    orders = [await shop.place(amount=AMOUNT, approval_threshold=0) for _ in range(AT_ONCE)]
    async with asyncio.timeout(WITHIN_S):
        raced = await asyncio.gather(*map(race, orders))

    assert [said for said, evidence in raced if not answer_is_true(said, evidence)] == []
    assert [evidence for _, evidence in raced if not books_agree(evidence)] == []


async def parked_on(shop: Shop, step: str) -> ShopOrder:
    """An order whose provider asked for more patience than the order has; it is well again by now."""
    order = await shop.order(amount=AMOUNT, retry_window_s=2)
    await order.meets(step, "rate_limit", times=None, delay_s=30)
    await order.start()
    await order.parked()
    await shop.ledger.behave()
    return order


async def test_a_cancel_counts_that_came_while_our_books_alone_knew_that_the_order_was_parked(shop: Shop) -> None:
    """The workflow task that parked it was lost with its worker, after the booking; the next one parks it again."""
    order = await shop.order(amount=AMOUNT, retry_window_s=2)
    await order.meets("ship", "unavailable", times=None)
    await order.start()
    await shop.ledger.until_fired(order.id, "ship", "unavailable")
    lost = Park(
        order_id=order.id, at=datetime.now(UTC), known=0, key="needs_attention/1", step=StepName.SHIP, left="to be sent"
    )
    await OrderActivities(Books(shop.engine)).park(lost)

    await order.handle.cancel()
    await order.until(OrderStatus.CANCELLED, OrderStatus.PROCESSING)
    await shop.ledger.behave()
    if not (await order.parked_or_final()).is_final:
        await order.retry()

    evidence = await order.settled_evidence()
    assert (evidence.status, evidence.effects.money_kept) == (OrderStatus.CANCELLED, 0)
    assert evidence.timeline.count("needs_attention") <= 2
