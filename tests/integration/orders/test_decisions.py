"""Approval: who decides, when, and what a second word is worth."""

import asyncio
from datetime import timedelta

import pytest

from contracts.orders import OrderStatus
from tests.answers import OVER, answer
from tests.shop import ON_HAND, Shop, Stock

LARGE = 60_000


async def test_a_total_at_the_threshold_needs_no_approval(shop: Shop) -> None:
    order = await shop.place(amount=LARGE, approval_threshold=LARGE)

    assert (await order.settled()).status is OrderStatus.COMPLETED
    assert "approval_requested" not in (await order.evidence()).timeline


async def test_an_order_that_waits_for_approval_holds_its_stock_and_has_charged_nothing(shop: Shop) -> None:
    order = await shop.place(amount=LARGE)
    await order.until(OrderStatus.AWAITING_APPROVAL)

    assert await shop.stock(order.sku) == Stock(on_hand=ON_HAND, reserved=1)
    assert await shop.ledger.requests(order.id) == []

    await order.decide(approved=True)
    evidence = await order.settled_evidence()
    assert evidence.status is OrderStatus.COMPLETED
    assert evidence.effects.money_kept == LARGE


async def test_a_rejected_order_gives_its_stock_back_and_names_the_operator(shop: Shop) -> None:
    order = await shop.place(amount=LARGE)

    await order.decide(approved=False, operator="olga", note="looks like fraud")

    evidence = await order.settled_evidence()
    assert (evidence.status, evidence.failure_code) == (OrderStatus.REJECTED, "approval_rejected")
    assert evidence.booked.failure
    assert evidence.booked.failure.message == "rejected by olga: looks like fraud"
    assert evidence.stock == Stock(on_hand=ON_HAND, reserved=0)
    assert not evidence.effects.charges


async def test_the_approval_names_the_operator(shop: Shop) -> None:
    order = await shop.place(amount=LARGE)

    await order.decide(approved=True, operator="olga", note="a good customer")

    [approved] = [entry.detail for entry in (await order.settled()).timeline if entry.type == "approved"]
    assert approved == "olga: a good customer"


async def test_nobody_approving_within_the_deadline_rejects_the_order(shop: Shop) -> None:
    order = await shop.place(amount=LARGE, approval_deadline_s=1)

    evidence = await order.settled_evidence()

    assert (evidence.status, evidence.failure_code) == (OrderStatus.REJECTED, "approval_timed_out")
    assert evidence.stock == Stock(on_hand=ON_HAND, reserved=0)


async def test_an_approval_may_come_before_the_order_waits_for_it(shop: Shop) -> None:
    order = await shop.order(amount=LARGE)
    await order.start(start_delay=timedelta(seconds=1))
    await order.decide(approved=True)

    assert (await order.settled()).status is OrderStatus.COMPLETED


@pytest.mark.parametrize(("first", "status"), [(True, OrderStatus.COMPLETED), (False, OrderStatus.REJECTED)])
async def test_the_first_decision_wins_and_repeating_it_is_harmless(
    shop: Shop, first: bool, status: OrderStatus
) -> None:
    order = await shop.place(amount=LARGE)
    await order.until(OrderStatus.AWAITING_APPROVAL)

    for approved in (first, first, not first):
        await answer(order.decide(approved=approved))

    evidence = await order.settled_evidence()
    assert evidence.status is status
    assert evidence.timeline.count("approved") == int(first)
    assert len(evidence.effects.charges) == int(first)


async def test_many_operators_deciding_at_once_give_one_outcome(shop: Shop) -> None:
    order = await shop.place(amount=LARGE)

    await asyncio.gather(*(answer(order.decide(approved=number % 2 == 0)) for number in range(20)))

    evidence = await order.settled_evidence()
    assert evidence.status in (OrderStatus.COMPLETED, OrderStatus.REJECTED)
    assert evidence.effects.money_kept == (LARGE if evidence.status is OrderStatus.COMPLETED else 0)


async def test_a_decision_on_an_order_that_is_over_changes_nothing(shop: Shop) -> None:
    order = await shop.place(amount=LARGE)
    await order.decide(approved=True)
    before = await order.settled()

    assert await answer(order.decide(approved=False)) == OVER
    assert await order.booked() == before


async def test_cancelled_while_waiting_for_approval_it_costs_nothing(shop: Shop) -> None:
    order = await shop.place(amount=LARGE)
    await order.until(OrderStatus.AWAITING_APPROVAL)

    cancelled = await order.cancel()

    assert cancelled.status is OrderStatus.CANCELLED
    evidence = await order.settled_evidence()
    assert (evidence.status, evidence.failure_code) == (OrderStatus.CANCELLED, "cancelled_by_customer")
    assert evidence.stock == Stock(on_hand=ON_HAND, reserved=0)
    assert await shop.ledger.requests(order.id) == []
