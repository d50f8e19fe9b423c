"""The fraud limit: what a customer's orders cost within the window, counted from our books, and the wait for checks."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import PendingActivityState

from contracts.fraud import FraudLimit, Maintenance, Verdict
from contracts.orders import OrderStatus
from database.fraud import FraudRepository
from database.spendings import judge
from database.transaction import transaction
from tests.shop import ON_HAND, POLL_S, WITHIN_S, Shop, ShopOrder, Stock

AMOUNT = 1_000
WINDOW_S = 3_600


@pytest.fixture
async def fraud(shop: Shop) -> AsyncIterator[FraudRepository]:
    """As it is by default, before and after."""
    opened = FraudRepository(shop.engine)
    try:
        yield opened
    finally:
        await opened.set_limit(None)
        await opened.set_maintenance(Maintenance(enabled=False))


@pytest.fixture
def customer_id() -> str:
    return f"spender-{uuid4().hex}"


def limit_of(orders: int) -> FraudLimit:
    """Lets this many orders through."""
    return FraudLimit(amount=orders * AMOUNT, window_s=WINDOW_S)


async def spends(shop: Shop, customer_id: str, **terms: object) -> ShopOrder:
    return await shop.place(customer_id=customer_id, **{"amount": AMOUNT, **terms})


async def ended_as(order: ShopOrder) -> tuple[str, str | None]:
    outcome = await order.outcome()
    return outcome.status, outcome.failure.code if outcome.failure else None


async def until_checks_are_retried(order: ShopOrder) -> None:
    """Wait until the order waits between two attempts of its check."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            pending = (await order.handle.describe()).raw_description.pending_activities
            if any(one.activity_type.name == "check_fraud" and one.state == SCHEDULED for one in pending):
                return
            await asyncio.sleep(POLL_S)


SCHEDULED = PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED


async def test_of_twenty_orders_at_once_as_many_pass_as_the_limit_has_room_for(
    shop: Shop, fraud: FraudRepository, customer_id: str
) -> None:
    await fraud.set_limit(limit_of(5))

    orders = await asyncio.gather(*(spends(shop, customer_id) for _ in range(20)))

    outcomes = Counter(await asyncio.gather(*map(ended_as, orders)))
    assert outcomes == {("completed", None): 5, ("rejected", "fraud_suspected"): 15}
    effects = [await shop.ledger.effects(order.id) for order in orders]
    assert sum(len(effect.charges) for effect in effects) == 5
    assert {stock.reserved for stock in [await shop.stock(order.sku) for order in orders]} == {0}


async def test_an_order_over_the_limit_is_rejected_before_anything_is_charged(
    shop: Shop, fraud: FraudRepository, customer_id: str
) -> None:
    await fraud.set_limit(FraudLimit(amount=AMOUNT - 1, window_s=WINDOW_S))

    evidence = await (await spends(shop, customer_id)).settled_evidence()

    assert (evidence.status, evidence.failure_code) == ("rejected", "fraud_suspected")
    assert (evidence.effects.charges, evidence.effects.shipments) == ((), ())
    assert evidence.stock == Stock(on_hand=ON_HAND, reserved=0)
    assert evidence.view == evidence.agreed


async def test_the_limit_itself_may_be_spent_also_by_what_was_bought_before_it_was_set(
    shop: Shop, fraud: FraudRepository, customer_id: str
) -> None:
    assert await ended_as(await spends(shop, customer_id)) == ("completed", None)
    await fraud.set_limit(limit_of(2))

    assert await ended_as(await spends(shop, customer_id, amount=AMOUNT + 1)) == ("rejected", "fraud_suspected")
    assert await ended_as(await spends(shop, customer_id)) == ("completed", None)
    assert await ended_as(await spends(shop, customer_id, amount=1)) == ("rejected", "fraud_suspected")
    assert await ended_as(await spends(shop, f"another-{customer_id}")) == ("completed", None)


async def test_declined_refunded_and_cancelled_money_does_not_count(
    shop: Shop, fraud: FraudRepository, customer_id: str
) -> None:
    await fraud.set_limit(limit_of(1))
    declined = await spends(shop, customer_id, payment_method="pm_card_visa_chargeDeclined")
    assert await ended_as(declined) == ("rejected", "payment_declined")
    refunded = await shop.order(customer_id=customer_id, amount=AMOUNT)
    await refunded.meets("ship", "decline")
    await refunded.start()
    assert await ended_as(refunded) == ("rejected", "shipping_failed")
    cancelled = await spends(shop, customer_id, approval_threshold=0)
    await cancelled.until(OrderStatus.AWAITING_APPROVAL)
    await cancelled.cancel()

    assert await ended_as(await spends(shop, customer_id)) == ("completed", None)


async def test_a_charge_that_is_not_known_yet_counts(shop: Shop, fraud: FraudRepository, customer_id: str) -> None:
    await fraud.set_limit(limit_of(1))
    order = await shop.order(customer_id=customer_id, amount=AMOUNT)
    await order.meets("charge", "unavailable", times=None)
    await order.start()
    await shop.ledger.until_asked(order.id, 1)

    assert await ended_as(await spends(shop, customer_id)) == ("rejected", "fraud_suspected")

    await shop.ledger.behave()
    assert await ended_as(order) == ("completed", None)


async def test_what_was_charged_before_the_window_does_not_count(
    shop: Shop, fraud: FraudRepository, customer_id: str
) -> None:
    await fraud.set_limit(limit_of(1))
    order = await (await spends(shop, customer_id)).settled()
    [charge] = [step for step in order.steps if step.name == "charge"]
    window, moment = timedelta(seconds=WINDOW_S), timedelta(microseconds=1)

    async with transaction(shop.engine) as connection:
        within = await judge(connection, customer_id, "ord_other", 1, charge.begun_at + window - moment)
        after = await judge(connection, customer_id, "ord_other", 1, charge.begun_at + window)
    assert (within, after) == (Verdict.OVER_LIMIT, Verdict.PASSED)


async def test_an_approved_order_is_checked_too(shop: Shop, fraud: FraudRepository, customer_id: str) -> None:
    await fraud.set_limit(limit_of(1))
    order = await spends(shop, customer_id, amount=2 * AMOUNT, approval_threshold=AMOUNT)
    await order.until(OrderStatus.AWAITING_APPROVAL)

    await order.decide(approved=True)

    assert await ended_as(order) == ("rejected", "fraud_suspected")


async def test_while_checks_are_suspended_orders_wait_and_then_go_on(
    shop: Shop, fraud: FraudRepository, customer_id: str
) -> None:
    await fraud.set_maintenance(Maintenance(enabled=True))
    # Longer than any other step would be retried for.
    order = await spends(shop, customer_id, retry_window_s=1)
    await until_checks_are_retried(order)
    assert (await order.booked()).status is OrderStatus.PROCESSING
    assert await shop.ledger.requests(order.id) == []

    await fraud.set_maintenance(Maintenance(enabled=False))

    evidence = await order.settled_evidence()
    assert evidence.status is OrderStatus.COMPLETED
    assert len(evidence.effects.charges) == 1
    assert evidence.view == evidence.agreed


async def test_an_order_that_waits_for_its_check_can_be_cancelled(
    shop: Shop, fraud: FraudRepository, customer_id: str
) -> None:
    await fraud.set_maintenance(Maintenance(enabled=True))
    order = await spends(shop, customer_id)
    await until_checks_are_retried(order)

    cancelled = await order.cancel()

    evidence = await order.settled_evidence()
    assert cancelled.status is evidence.status is OrderStatus.CANCELLED
    assert evidence.stock == Stock(on_hand=ON_HAND, reserved=0)
    assert evidence.effects.charges == ()
    assert [step.outcome for step in evidence.booked.steps] == ["absent"]
