"""Orders that wait for an operator: what they say, and what an operator can do about them."""

import asyncio

import pytest

from contracts.orders import OrderStatus, Phase
from tests.answers import answer
from tests.shop import ON_HAND, WITHIN_S, Shop, ShopOrder, Stock

AMOUNT = 1_999
# A provider that asks for more patience than the order has parks it at once.
WINDOW_S = 2
LONGER_THAN_THE_WINDOW_S = 30

LEFT = {
    "charge": "left to do: charge 19.99 usd, then ship the order (the payment provider limits our rate)",
    "ship": "left to do: hand the order to the carrier (the carrier limits our rate)",
}


async def parked_forward(shop: Shop, step: str) -> ShopOrder:
    """An order whose charge or shipment could not be settled in time; its provider is well again by now."""
    order = await shop.order(amount=AMOUNT, retry_window_s=WINDOW_S)
    await order.meets(step, "rate_limit", times=None, delay_s=LONGER_THAN_THE_WINDOW_S)
    await order.start()
    await order.parked()
    await shop.ledger.behave()
    return order


async def parked_on_the_way_back(shop: Shop) -> ShopOrder:
    """A charged order that the carrier refused and whose refund was refused too."""
    order = await shop.order(amount=AMOUNT, retry_window_s=WINDOW_S)
    await order.meets("ship", "decline")
    await order.meets("refund", "decline")
    await order.start()
    await order.parked()
    return order


@pytest.mark.parametrize("step", ["charge", "ship"])
async def test_a_step_that_keeps_failing_parks_the_order_and_says_what_is_left(shop: Shop, step: str) -> None:
    order = await parked_forward(shop, step)

    booked = await order.booked()

    assert booked.status is OrderStatus.NEEDS_ATTENTION
    assert booked.timeline[-1].type == "needs_attention"
    assert booked.timeline[-1].detail == LEFT[step]
    assert await shop.stock(order.sku) == Stock(on_hand=ON_HAND, reserved=1)
    assert (step, "rate_limit") in await shop.ledger.fired(order.id)


async def test_a_window_that_closes_on_a_silent_attempt_says_what_went_wrong_before(shop: Shop) -> None:
    order = await shop.order(amount=AMOUNT, retry_window_s=WINDOW_S)
    # The local try, and the first that operators see.
    await order.meets("ship", "error_before", times=2)
    await order.meets("ship", "slow", times=None, delay_s=LONGER_THAN_THE_WINDOW_S)
    await order.start()

    left = await order.parked()
    await shop.ledger.behave()

    assert left == "left to do: hand the order to the carrier (v1/shipments answered 500)"


async def test_a_compensation_that_is_refused_parks_the_order_and_says_what_is_left(shop: Shop) -> None:
    order = await parked_on_the_way_back(shop)

    booked = await order.booked()

    assert booked.status is OrderStatus.NEEDS_ATTENTION
    assert booked.phase is Phase.UNDOING
    assert booked.timeline[-1].detail.startswith("left to undo: refund 19.99 usd (")
    assert "cannot issue a refund" in booked.timeline[-1].detail


@pytest.mark.parametrize("step", ["charge", "ship"])
async def test_a_retry_goes_on_from_where_the_order_stopped(shop: Shop, step: str) -> None:
    order = await parked_forward(shop, step)

    await order.retry("olga")

    evidence = await order.settled_evidence()
    assert evidence.status is OrderStatus.COMPLETED
    assert len(evidence.effects.charges) == 1
    assert [entry.detail for entry in evidence.booked.timeline if entry.type == "retried"] == ["olga"]


async def test_a_retry_of_a_refused_refund_uses_a_new_key(shop: Shop) -> None:
    order = await parked_on_the_way_back(shop)

    await order.retry()

    evidence = await order.settled_evidence()
    assert (evidence.status, evidence.failure_code) == (OrderStatus.REJECTED, "shipping_failed")
    assert evidence.effects.money_kept == 0
    keys = [row["key"] for row in await shop.ledger.requests(order.id) if row["operation"] == "refund"]
    assert keys == [f"{order.id}-1:refund:1", f"{order.id}-1:refund:2"]


async def test_an_order_that_fails_again_parks_again(shop: Shop) -> None:
    order = await parked_forward(shop, "ship")
    await order.meets("ship", "rate_limit", times=None, delay_s=LONGER_THAN_THE_WINDOW_S)

    await order.retry("olga")
    await order.parked()
    await shop.ledger.behave()
    await order.retry("otto")

    evidence = await order.settled_evidence()
    assert evidence.status is OrderStatus.COMPLETED
    assert evidence.timeline[-6:] == [
        "needs_attention",
        "retried",
        "needs_attention",
        "retried",
        "shipped",
        "completed",
    ]


async def test_a_cancel_of_an_order_parked_on_its_shipment_calls_the_shipment_back(shop: Shop) -> None:
    order = await parked_forward(shop, "ship")

    assert await answer(order.cancel()) == "cancelled"

    evidence = await order.settled_evidence()
    assert (evidence.status, evidence.failure_code) == (OrderStatus.CANCELLED, "cancelled_by_customer")
    assert evidence.effects.money_kept == 0
    assert "booked" not in evidence.effects.shipment_statuses
    assert evidence.stock == Stock(on_hand=ON_HAND, reserved=0)


@pytest.mark.parametrize("status", [OrderStatus.CANCELLED, OrderStatus.REJECTED])
@pytest.mark.parametrize("step", ["charge", "ship"])
async def test_resolving_an_order_that_went_forward_undoes_it(shop: Shop, step: str, status: OrderStatus) -> None:
    order = await parked_forward(shop, step)

    assert await answer(order.resolve(status, operator="olga", note="agreed on the phone")) == status

    evidence = await order.settled_evidence()
    assert evidence.status is status
    assert evidence.effects.money_kept == 0
    assert evidence.stock == Stock(on_hand=ON_HAND, reserved=0)
    assert [entry.detail for entry in evidence.booked.timeline if entry.type == "resolved"] == [
        "olga: agreed on the phone"
    ]


@pytest.mark.parametrize("status", [OrderStatus.COMPLETED, OrderStatus.PARTIALLY_COMPLETED])
async def test_an_order_that_was_not_shipped_cannot_be_resolved_as_if_it_were(shop: Shop, status: OrderStatus) -> None:
    order = await parked_forward(shop, "ship")

    assert await answer(order.resolve(status)) == "books_contradict"

    assert (await order.booked()).status is OrderStatus.NEEDS_ATTENTION
    await order.retry()
    assert (await order.settled()).status is OrderStatus.COMPLETED


async def test_resolving_an_order_on_its_way_back_closes_it_by_hand(shop: Shop) -> None:
    order = await parked_on_the_way_back(shop)

    assert await answer(order.resolve(OrderStatus.REJECTED, operator="olga", note="paid back in cash")) == "rejected"

    evidence = await order.settled_evidence()
    assert evidence.status is OrderStatus.REJECTED
    assert evidence.stock == Stock(on_hand=ON_HAND, reserved=0)
    assert evidence.timeline[-3:] == ["resolved", "reservation_released", "rejected"]
    assert evidence.booked.timeline[-3].detail == "olga: paid back in cash"
    assert evidence.effects.refunds == ()


async def not_called_back(shop: Shop) -> ShopOrder:
    """An order that was to be undone, of which the carrier does not give the parcel back."""
    order = await parked_forward(shop, "ship")
    await order.meets("cancel_shipment", "decline", times=None)
    await order.cancel()
    assert (await order.parked()).startswith("left to undo: cancel the shipment (")
    return order


@pytest.mark.parametrize("status", [OrderStatus.CANCELLED, OrderStatus.COMPLETED])
async def test_an_operator_says_what_became_of_a_parcel_that_could_not_be_called_back(
    shop: Shop, status: OrderStatus
) -> None:
    """Stopped by telephone and paid back by hand, or left with its customer."""
    order = await not_called_back(shop)

    await order.resolve(status)

    evidence = await order.settled_evidence()
    assert evidence.status is status
    sent = int(status is OrderStatus.COMPLETED)
    assert evidence.stock == Stock(on_hand=ON_HAND - sent, reserved=0)


async def test_an_order_on_its_way_back_that_was_never_shipped_cannot_be_resolved_as_completed(shop: Shop) -> None:
    order = await parked_on_the_way_back(shop)

    assert await answer(order.resolve(OrderStatus.COMPLETED)) == "books_contradict"

    await order.retry()
    assert (await order.settled()).status is OrderStatus.REJECTED


async def test_only_a_parked_order_can_be_retried_or_resolved(shop: Shop) -> None:
    order = await shop.place(amount=60_000)
    await order.until(OrderStatus.AWAITING_APPROVAL)

    assert await answer(order.retry()) == "not_parked"
    assert await answer(order.resolve(OrderStatus.CANCELLED)) == "not_parked"

    await order.cancel()


async def test_operators_who_act_at_once_are_all_answered_and_the_first_one_counts(shop: Shop) -> None:
    async def race(order: ShopOrder) -> None:
        said = await asyncio.gather(
            answer(order.resolve(OrderStatus.CANCELLED)),
            answer(order.retry()),
            answer(order.retry()),
            answer(order.resolve(OrderStatus.REJECTED)),
        )
        evidence = await order.settled_evidence()
        assert evidence.status.is_final
        assert set(said) <= {"processing", "cancelled", "rejected", "completed", "not_parked", "over"}
        assert (evidence.effects.money_kept == AMOUNT) == (evidence.status is OrderStatus.COMPLETED)

    orders = [await parked_forward(shop, "ship") for _ in range(6)]
    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(*map(race, orders))


async def test_an_answer_that_comes_after_the_order_was_parked_parts_nobody(shop: Shop) -> None:
    """The carrier answers when the activity that asked has just been given up."""

    async def late_by(delay_s: float) -> None:
        order = await shop.order(amount=AMOUNT, retry_window_s=1)
        await order.meets("ship", "slow", times=2, delay_s=delay_s)
        await order.start()
        if await order.parked_or_final() is OrderStatus.NEEDS_ATTENTION:
            await order.parked()
            await order.retry()
        evidence = await order.settled_evidence()
        assert evidence.status is OrderStatus.COMPLETED
        assert evidence.view.status is OrderStatus.COMPLETED
        assert evidence.effects.shipment_statuses == ["booked"]

    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(*(late_by(delay_s) for delay_s in (1.6, 1.7, 1.8, 1.9, 2.0, 2.1, 2.2, 2.3)))
