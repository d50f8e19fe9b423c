"""The fraud limit as bookings ask for it, with the ledger's rows as the witness."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, text

from contracts.fraud import FraudLimit, Maintenance, Verdict
from database.fraud import NEEDED, FraudRepository, check, give_back
from database.tables import fraud_spendings
from database.transaction import transaction
from tests.shop import WITHIN_S, Shop

AMOUNT = 1_000
WINDOW_S = 3_600
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


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


def an_order() -> str:
    return f"ord_{uuid4().hex[:26]}"


def limit_of(orders: int) -> FraudLimit:
    """Lets this many orders through."""
    return FraudLimit(amount=orders * AMOUNT, window_s=WINDOW_S)


async def checked(
    shop: Shop, customer_id: str, order_id: str | None = None, *, amount: int = AMOUNT, at: datetime = NOON
) -> Verdict:
    async with transaction(shop.engine) as connection:
        return await check(connection, customer_id, order_id or an_order(), amount, at)


async def given_back(shop: Shop, order_id: str, amount: int) -> None:
    async with transaction(shop.engine) as connection:
        await give_back(connection, order_id, amount)


async def spent(shop: Shop, customer_id: str) -> list[int]:
    query = select(fraud_spendings.c.amount).where(fraud_spendings.c.customer_id == customer_id)
    async with shop.engine.connect() as connection:
        return sorted((await connection.scalars(query)).all())


async def is_needed(shop: Shop) -> bool:
    async with shop.engine.connect() as connection:
        return bool(await connection.scalar(text(f"SELECT {NEEDED}")))


async def test_it_is_off_by_default(shop: Shop, customer_id: str) -> None:
    settings = await FraudRepository(shop.engine).settings()

    assert settings.limit is None
    assert not settings.maintenance.enabled
    assert not await is_needed(shop)
    assert await checked(shop, customer_id, amount=10**12) is Verdict.NOT_NEEDED


async def test_whether_checks_are_needed_is_one_expression(shop: Shop, fraud: FraudRepository) -> None:
    await fraud.set_limit(limit_of(1))
    assert await is_needed(shop)
    await fraud.set_limit(None)
    assert not await is_needed(shop)
    await fraud.set_maintenance(Maintenance(enabled=True))
    assert await is_needed(shop)


async def test_of_twenty_orders_at_once_as_many_pass_as_the_limit_has_room_for(
    shop: Shop, fraud: FraudRepository, customer_id: str
) -> None:
    await fraud.set_limit(limit_of(5))

    async with asyncio.timeout(WITHIN_S):
        verdicts = await asyncio.gather(*(checked(shop, customer_id) for _ in range(20)))

    assert sorted(verdicts) == [Verdict.OVER_LIMIT] * 15 + [Verdict.PASSED] * 5
    assert await spent(shop, customer_id) == [AMOUNT] * 5


async def test_the_limit_is_each_customers_own(shop: Shop, fraud: FraudRepository, customer_id: str) -> None:
    await fraud.set_limit(limit_of(1))

    assert await checked(shop, customer_id) is Verdict.PASSED
    assert await checked(shop, customer_id) is Verdict.OVER_LIMIT
    assert await checked(shop, f"another-{customer_id}") is Verdict.PASSED


async def test_the_limit_itself_may_be_spent_and_not_a_cent_more(
    shop: Shop, fraud: FraudRepository, customer_id: str
) -> None:
    await fraud.set_limit(limit_of(1))

    assert await checked(shop, customer_id, amount=AMOUNT + 1) is Verdict.OVER_LIMIT
    assert await checked(shop, customer_id, amount=AMOUNT) is Verdict.PASSED
    assert await checked(shop, customer_id, amount=1) is Verdict.OVER_LIMIT


async def test_what_was_spent_before_the_window_does_not_count(
    shop: Shop, fraud: FraudRepository, customer_id: str
) -> None:
    await fraud.set_limit(limit_of(2))
    window, moment = timedelta(seconds=WINDOW_S), timedelta(microseconds=1)

    assert await checked(shop, customer_id, at=NOON) is Verdict.PASSED
    assert await checked(shop, customer_id, at=NOON + window / 2) is Verdict.PASSED
    assert await checked(shop, customer_id, at=NOON + window - moment) is Verdict.OVER_LIMIT
    assert await checked(shop, customer_id, at=NOON + window) is Verdict.PASSED
    assert await checked(shop, customer_id, at=NOON + window * 3 / 2 - moment) is Verdict.OVER_LIMIT


async def test_an_order_that_passed_passes_again_and_counts_once(
    shop: Shop, fraud: FraudRepository, customer_id: str
) -> None:
    await fraud.set_limit(limit_of(1))
    order_id = an_order()

    async with asyncio.timeout(WITHIN_S):
        verdicts = await asyncio.gather(*(checked(shop, customer_id, order_id) for _ in range(5)))
    await fraud.set_maintenance(Maintenance(enabled=True))

    assert set(verdicts) == {Verdict.PASSED}
    assert await checked(shop, customer_id, order_id) is Verdict.PASSED
    assert await spent(shop, customer_id) == [AMOUNT]


async def test_what_was_spent_before_a_limit_was_set_counts(
    shop: Shop, fraud: FraudRepository, customer_id: str
) -> None:
    order_id = an_order()
    for _ in range(2):
        assert await checked(shop, customer_id, order_id) is Verdict.NOT_NEEDED

    await fraud.set_limit(limit_of(2))

    assert await checked(shop, customer_id) is Verdict.PASSED
    assert await checked(shop, customer_id) is Verdict.OVER_LIMIT


async def test_what_is_given_back_can_be_spent_again(shop: Shop, fraud: FraudRepository, customer_id: str) -> None:
    await fraud.set_limit(limit_of(1))
    order_id = an_order()
    assert await checked(shop, customer_id, order_id) is Verdict.PASSED

    await given_back(shop, order_id, 400)
    assert await spent(shop, customer_id) == [600]
    assert await checked(shop, customer_id, amount=401) is Verdict.OVER_LIMIT
    assert await checked(shop, customer_id, amount=400) is Verdict.PASSED
    await given_back(shop, order_id, 600)
    assert await spent(shop, customer_id) == [400]


async def test_giving_back_what_never_counted_changes_nothing(
    shop: Shop, fraud: FraudRepository, customer_id: str
) -> None:
    await fraud.set_limit(limit_of(1))
    suspected = an_order()
    assert await checked(shop, customer_id, suspected, amount=AMOUNT + 1) is Verdict.OVER_LIMIT

    await given_back(shop, suspected, AMOUNT + 1)

    assert await spent(shop, customer_id) == []


async def test_a_booking_that_is_rolled_back_spends_nothing(
    shop: Shop, fraud: FraudRepository, customer_id: str
) -> None:
    await fraud.set_limit(limit_of(1))

    async def booking_that_fails() -> None:
        async with transaction(shop.engine) as connection:
            assert await check(connection, customer_id, an_order(), AMOUNT, NOON) is Verdict.PASSED
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await booking_that_fails()

    assert await checked(shop, customer_id) is Verdict.PASSED


async def test_under_maintenance_nothing_passes_until_it_is_lifted(
    shop: Shop, fraud: FraudRepository, customer_id: str
) -> None:
    order_id = an_order()
    await fraud.set_maintenance(Maintenance(enabled=True))
    assert await checked(shop, customer_id, order_id) is Verdict.MAINTENANCE
    await fraud.set_limit(limit_of(1))
    assert await checked(shop, customer_id, order_id) is Verdict.MAINTENANCE
    assert await spent(shop, customer_id) == []

    await fraud.set_maintenance(Maintenance(enabled=False))

    assert await checked(shop, customer_id, order_id) is Verdict.PASSED
