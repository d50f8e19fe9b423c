"""Days and minutes of an order's life, skipped on the real server."""

import asyncio
from datetime import datetime, timedelta

import pytest
from temporalio.testing import TimeSkipper

from contracts.orders import EventType, Order, OrderStatus
from tests.shop import ON_HAND, WITHIN_S, Shop, Stock

LARGE = 60_000
DAY = timedelta(days=1)
DAY_S = 24 * 60 * 60
NEARLY = timedelta(minutes=1)


def when(order: Order, event: EventType) -> datetime:
    """The workflow's clock at the first event of this type."""
    return next(entry.at for entry in order.timeline if entry.type is event)


async def test_an_approval_after_three_days_completes_the_order(shop: Shop) -> None:
    skipper = TimeSkipper(shop.client)
    order = await shop.place(amount=LARGE, approval_deadline_s=7 * DAY_S)
    await order.until(OrderStatus.AWAITING_APPROVAL)

    async with asyncio.timeout(WITHIN_S):
        assert await skipper.fast_forward(order.handle, 3 * DAY)
    assert (await order.booked()).status is OrderStatus.AWAITING_APPROVAL
    await order.decide(approved=True)

    evidence = await order.settled_evidence()
    assert evidence.status is OrderStatus.COMPLETED
    assert evidence.effects.money_kept == LARGE
    waited = when(evidence.booked, EventType.APPROVED) - when(evidence.booked, EventType.APPROVAL_REQUESTED)
    assert 3 * DAY <= waited < 3 * DAY + NEARLY
    assert evidence.booked.updated_at - evidence.booked.created_at >= 3 * DAY


async def test_an_order_nobody_approves_is_rejected_after_its_24_hours(shop: Shop) -> None:
    skipper = TimeSkipper(shop.client)
    order = await shop.order(amount=LARGE, approval_deadline_s=DAY_S)

    await order.start(skipper.client)

    evidence = await order.settled_evidence()
    assert (evidence.status, evidence.failure_code) == (OrderStatus.REJECTED, "approval_timed_out")
    assert evidence.stock == Stock(on_hand=ON_HAND, reserved=0)
    waited = when(evidence.booked, EventType.REJECTED) - when(evidence.booked, EventType.APPROVAL_REQUESTED)
    assert DAY <= waited < DAY + NEARLY


async def test_an_order_just_before_its_deadline_can_still_be_approved(shop: Shop) -> None:
    skipper = TimeSkipper(shop.client)
    order = await shop.place(amount=LARGE, approval_deadline_s=DAY_S)
    await order.until(OrderStatus.AWAITING_APPROVAL)

    async with asyncio.timeout(WITHIN_S):
        await skipper.fast_forward(order.handle, DAY - NEARLY)
    await order.decide(approved=True)

    assert (await order.settled()).status is OrderStatus.COMPLETED


@pytest.mark.parametrize("step", ["charge", "ship"])
async def test_a_provider_that_stays_away_is_retried_for_ten_minutes_before_the_order_parks(
    shop: Shop, step: str
) -> None:
    skipper = TimeSkipper(shop.client)
    order = await shop.order(retry_window_s=600)
    await order.meets(step, "unavailable", times=None)

    await order.start(skipper.client)
    await order.parked()

    booked = await order.booked()
    waited = when(booked, EventType.NEEDS_ATTENTION) - booked.created_at
    assert timedelta(minutes=9) < waited < timedelta(minutes=11)
    attempts = (await shop.ledger.fired(order.id)).count((step, "unavailable"))
    # After 1, 2, 4, 8 and 16 s, then every 24 to 30 s.
    assert 20 <= attempts <= 32
    await shop.ledger.behave()
    await order.retry()
    assert (await order.settled()).status is OrderStatus.COMPLETED


async def test_a_provider_that_comes_back_within_the_window_is_heard_by_itself(shop: Shop) -> None:
    skipper = TimeSkipper(shop.client)
    order = await shop.order(retry_window_s=600)
    await order.meets("charge", "unavailable", times=8)

    await order.start(skipper.client)

    evidence = await order.settled_evidence()
    assert evidence.status is OrderStatus.COMPLETED
    assert len(evidence.effects.charges) == 1
    # The timeline follows the workflow's clock through the retries: 1 + 2 + 4 + 8 + 16 + 30 s, less a fifth at most.
    waited = when(evidence.booked, EventType.CHARGED) - when(evidence.booked, EventType.RESERVED)
    assert timedelta(seconds=45) < waited < timedelta(minutes=3)
