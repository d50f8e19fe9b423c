"""Our books beside the payment provider's own ledger: each difference is one item, once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import insert, text, update
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.reconciliation import ReconciliationActivities
from contracts.attention import AttentionKind
from contracts.orders import OrderStatus
from contracts.steps import StepName
from contracts.upkeep import Period
from database.attention import AttentionRepository
from database.booked_payments import BookedPaymentsRepository
from database.tables import order_steps, orders
from providers.payments import PaymentProvider
from tests.schedules import items_about, run_now
from tests.shop import POLL_S, Shop, ShopOrder
from tests.stack_session import RunningStack

AMOUNT = 1_999
HOUR = timedelta(hours=1)


class Provider:
    """The payment provider, as somebody uses it behind our back."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def charge(self, order_id: str | None, amount: int = AMOUNT) -> str:
        metadata = {} if order_id is None else {"metadata[order_id]": order_id, "metadata[step]": "charge"}
        form = {"amount": str(amount), "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true"}
        return await self._post("payment_intents", form | metadata)

    async def refund(self, charge_id: str, amount: int) -> None:
        await self._post("refunds", {"payment_intent": charge_id, "amount": str(amount)})

    async def _post(self, path: str, form: dict[str, str]) -> str:
        answer = await self.http.post(f"payments/v1/{path}", data=form, headers={"Idempotency-Key": uuid4().hex})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])


@pytest.fixture
async def provider(stack: RunningStack) -> AsyncIterator[Provider]:
    headers = {"Authorization": "Bearer sk_test_anything"}
    async with httpx.AsyncClient(base_url=stack.sandbox_url, headers=headers, timeout=30) as http:
        yield Provider(http)


async def completed(shop: Shop) -> ShopOrder:
    order = await shop.place(amount=AMOUNT)
    assert (await order.settled()).status is OrderStatus.COMPLETED
    return order


async def charge_of(order: ShopOrder) -> str:
    step = (await order.booked()).step(StepName.CHARGE, 1)
    assert step is not None
    assert step.reference is not None
    return step.reference


async def test_books_that_agree_make_no_items(shop: Shop) -> None:
    paid = await completed(shop)
    refused = await shop.order(amount=AMOUNT)
    await refused.meets("ship", "decline")
    await refused.start()
    # It was charged and refunded.
    assert (await refused.settled_evidence()).effects.money_kept == 0

    run = await run_now(shop, "reconcile-payments")

    assert await items_about(shop, await charge_of(paid), await charge_of(refused)) == []
    assert int((await run.summary()).split()[0]) >= 2, "both were compared"


async def test_money_given_back_behind_our_back_is_told_once(shop: Shop, provider: Provider) -> None:
    order = await completed(shop)
    charge = await charge_of(order)
    await provider.refund(charge, 500)

    await run_now(shop, "reconcile-payments")
    await run_now(shop, "reconcile-payments")

    [item] = await items_about(shop, charge)
    assert (item.kind, item.order_id) == (AttentionKind.REFUND_DIFFERS, order.id)
    assert item.detail == f"of {charge} 5.00 usd was given back, says the provider; 0.00 usd, say our books"


async def test_money_taken_twice_is_told_and_made_good_is_not(shop: Shop, provider: Provider) -> None:
    order = await completed(shop)
    again, returned = await provider.charge(order.id), await provider.charge(order.id)
    await provider.refund(returned, AMOUNT)
    nobodys, foreign = await provider.charge("ord_00000000000000000000000000"), await provider.charge(None)

    await run_now(shop, "reconcile-payments")
    await run_now(shop, "reconcile-payments")

    found = {item.source: item for item in await items_about(shop, again, returned, nobodys, foreign)}
    assert found.keys() == {again, nobodys}
    assert all(item.kind is AttentionKind.UNEXPECTED_CHARGE for item in found.values())
    assert (
        found[again].detail == f"{again} took 19.99 usd, but our books have no such charge, and the order as completed"
    )
    assert found[nobodys].detail == f"{nobodys} took 19.99 usd, but our books have no such order"


async def test_a_charge_of_another_amount(shop: Shop, provider: Provider) -> None:
    order = await completed(shop)
    other = await provider.charge(order.id, 2_500)
    await books_say(shop, order, reference=other)

    await run_now(shop, "reconcile-payments")

    [item] = await items_about(shop, other)
    assert item.detail == f"{other} took 25.00 usd, but 19.99 usd was to be charged"


async def test_a_charge_that_the_provider_does_not_have(shop: Shop) -> None:
    order = await completed(shop)
    real, made_up = await charge_of(order), f"pi_{uuid4().hex}"
    await books_say(shop, order, reference=made_up)

    await run_now(shop, "reconcile-payments")

    kinds = {item.source: item.kind for item in await items_about(shop, real, made_up)}
    assert kinds == {real: AttentionKind.UNEXPECTED_CHARGE, made_up: AttentionKind.MISSING_CHARGE}


async def test_orders_under_way_are_left_for_when_they_are_over(shop: Shop, provider: Provider) -> None:
    order = await shop.order(amount=AMOUNT, retry_window_s=2)
    await order.meets("ship", "rate_limit", times=None, delay_s=30)
    await order.start()
    await order.parked()
    await shop.ledger.behave()
    second = await provider.charge(order.id)

    await run_now(shop, "reconcile-payments")
    parked = await items_about(shop, second)
    await order.retry()
    await order.outcome()
    await run_now(shop, "reconcile-payments")

    assert parked == []
    assert [item.kind for item in await items_about(shop, second)] == [AttentionKind.UNEXPECTED_CHARGE]


async def test_an_order_that_closed_long_after_its_charge_is_compared_in_full(
    shop: Shop, provider: Provider, reconciliation: ReconciliationActivities
) -> None:
    order = await completed(shop)
    charge, second = await charge_of(order), await provider.charge(order.id)
    await provider.refund(charge, 500)
    # All charges are of now; the order closes later, in an hour in which nothing was charged.
    later = datetime.now(UTC) + 3 * HOUR
    async with shop.engine.begin() as connection:
        await connection.execute(update(orders).where(orders.c.id == order.id).values(updated_at=later))

    period = Period(since=later - HOUR / 2, until=later + HOUR / 2)
    told = await ActivityEnvironment().run(reconciliation.compare_payments, period)
    again = await ActivityEnvironment().run(reconciliation.compare_payments, period)

    kinds = {item.source: item.kind for item in await items_about(shop, charge, second)}
    assert kinds == {charge: AttentionKind.REFUND_DIFFERS, second: AttentionKind.UNEXPECTED_CHARGE}
    assert (told.payments, told.differences) == (1, 2)
    assert again.differences == 0


async def test_an_order_that_is_undone_while_it_is_compared_is_no_difference(
    shop: Shop, provider: Provider, reconciliation: ReconciliationActivities
) -> None:
    order = await completed(shop)
    charge, now = await charge_of(order), datetime.now(UTC)
    refund = {"order_id": order.id, "fulfilment": 1, "step": "refund", "key": uuid4().hex, "begun_at": now}

    async with shop.engine.begin() as connection:
        await connection.execute(text("LOCK TABLE followthrough.orders"))
        period = Period(since=now - HOUR, until=now + HOUR)
        comparing = asyncio.create_task(ActivityEnvironment().run(reconciliation.compare_payments, period))
        # The provider has been asked by then, and our books have not.
        while not await somebody_waits(shop):
            await asyncio.sleep(POLL_S)
        await provider.refund(charge, AMOUNT)
        await connection.execute(insert(order_steps).values(**refund, outcome="succeeded", reference="re_1"))
    await comparing

    assert await items_about(shop, charge) == []


async def somebody_waits(shop: Shop) -> bool:
    """Whether our books are being asked for payments, and have not answered."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%order_steps%'"
    async with shop.engine.connect() as connection:
        return bool(await connection.scalar(text(waiting)))


async def test_money_given_back_long_after_its_order_was_over_is_told(
    shop: Shop, provider: Provider, reconciliation: ReconciliationActivities
) -> None:
    order = await completed(shop)
    charge = await charge_of(order)
    charged_at = int(datetime.now(UTC).timestamp())
    # Long ago, say our books: the order is found by its refund alone.
    async with shop.engine.begin() as connection:
        long_ago = datetime.now(UTC) - 72 * HOUR
        await connection.execute(update(orders).where(orders.c.id == order.id).values(updated_at=long_ago))
    while int(datetime.now(UTC).timestamp()) <= charged_at:
        # In seconds, as the provider counts, the refund comes after the charge.
        await asyncio.sleep(POLL_S)
    since = datetime.fromtimestamp(charged_at + 1, UTC)
    await provider.refund(charge, AMOUNT)

    await ActivityEnvironment().run(reconciliation.compare_payments, Period(since=since, until=since + HOUR))

    [item] = await items_about(shop, charge)
    assert item.kind is AttentionKind.REFUND_DIFFERS
    assert item.detail.startswith(f"of {charge} 19.99 usd was given back")


async def test_every_page_is_read(shop: Shop, provider: Provider) -> None:
    order = await completed(shop)
    charges = await asyncio.gather(*(provider.charge(order.id) for _ in range(230)))

    run = await run_now(shop, "reconcile-payments")

    assert len(await items_about(shop, *charges)) == 230
    assert int((await run.summary()).split()[0]) > 230


async def test_a_provider_that_is_away_is_asked_again(shop: Shop) -> None:
    now = datetime.now(UTC)
    async with httpx.AsyncClient(base_url="http://127.0.0.1:1/") as nowhere:
        away = ReconciliationActivities(
            PaymentProvider(nowhere, timeout_s=1),
            BookedPaymentsRepository(shop.engine),
            AttentionRepository(shop.engine),
        )

        with pytest.raises(ApplicationError, match="cannot be reached") as failed:
            await ActivityEnvironment().run(away.compare_payments, Period(since=now - HOUR, until=now))

    assert (failed.value.type, failed.value.non_retryable) == ("provider_failed", False)


async def books_say(shop: Shop, order: ShopOrder, *, reference: str) -> None:
    """Have our books name another charge."""
    of_charge = (order_steps.c.order_id == order.id) & (order_steps.c.step == "charge")
    async with shop.engine.begin() as connection:
        await connection.execute(update(order_steps).where(of_charge).values(reference=reference))


@pytest.fixture
async def reconciliation(shop: Shop, stack: RunningStack) -> AsyncIterator[ReconciliationActivities]:
    headers = {"Authorization": "Bearer sk_test_anything"}
    async with httpx.AsyncClient(base_url=f"{stack.sandbox_url}/payments", headers=headers) as http:
        yield ReconciliationActivities(
            PaymentProvider(http, timeout_s=10),
            BookedPaymentsRepository(shop.engine),
            AttentionRepository(shop.engine),
        )
