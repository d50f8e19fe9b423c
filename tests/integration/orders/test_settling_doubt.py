"""A payment whose outcome repeating cannot tell: it is looked for, and only a lasting absence counts."""

import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.orders import OrderActivities
from activities.payments import PaymentActivities
from activities.provider_calls import ProviderCaller
from contracts.books import BeginUndo, Progress, ProviderStep, Reserve
from contracts.orders import OrderStatus, Phase
from contracts.providers import ChargeRequest, ProviderRefused, RefundRequest
from contracts.steps import Step, StepName, StepOutcome, find_step
from database.books import Books
from providers.payments import KEY_LIFETIME, PaymentProvider
from tests.shop import Shop, ShopOrder
from tests.stack_session import RunningStack

SETTLING_WINDOW_S = 60
AN_HOUR = timedelta(hours=1)
TOO_OLD = KEY_LIFETIME + AN_HOUR


@dataclass(frozen=True)
class Desk:
    """The activities that keep the books and move the money, run one attempt at a time."""

    orders: OrderActivities
    payments: PaymentActivities
    provider: PaymentProvider

    async def reserve(self, order: ShopOrder, *, at: datetime) -> Progress:
        """Book the reservation, which announces the charge."""
        return await ActivityEnvironment().run(self.orders.reserve, Reserve(order=order.placed, at=at, known=1))

    async def charge(self, order: ShopOrder, step: Step, *, doubted: tuple[str, datetime] | None = None) -> Progress:
        """One attempt of the regular activity; `doubted` is the key it doubts, and since when."""
        request = ChargeRequest(
            order_id=order.id, amount=order.placed.total, payment_method=order.placed.payment_method
        )
        announced = ProviderStep[ChargeRequest](
            order_id=order.id, at=datetime.now(UTC), known=1, step=step, call=request
        )
        return await attempt(doubted).run(self.payments.charge, announced)

    async def refund(self, order: ShopOrder, steps: tuple[Step, ...]) -> Progress:
        """One attempt of the regular activity."""
        charge_id = step_in(steps, StepName.CHARGE).reference
        assert charge_id
        request = RefundRequest(order_id=order.id, charge_id=charge_id, amount=order.placed.total)
        announced = ProviderStep[RefundRequest](
            order_id=order.id, at=datetime.now(UTC), known=1, step=step_in(steps, StepName.REFUND), call=request
        )
        return await attempt(None).run(self.payments.refund, announced)

    async def turn_round(self, order: ShopOrder) -> Progress:
        booking = BeginUndo(
            order_id=order.id,
            at=datetime.now(UTC),
            known=1,
            status=OrderStatus.CANCELLED,
            failure=None,
            detail="cancelled on request",
            resolved_by=None,
            even_if_shipping=True,
        )
        return await ActivityEnvironment().run(self.orders.begin_undo, booking)


def attempt(doubted: tuple[str, datetime] | None) -> ActivityEnvironment:
    environment = ActivityEnvironment()
    if doubted:
        key, since = doubted
        environment.info = dataclasses.replace(environment.info, heartbeat_details=[key, since.isoformat()])
    return environment


def step_in(steps: tuple[Step, ...], name: StepName) -> Step:
    step = find_step(steps, name, 1)
    assert step is not None, f"{name} was not announced"
    return step


@pytest.fixture
async def desk(shop: Shop, stack: RunningStack) -> AsyncIterator[Desk]:
    books = Books(shop.engine)
    async with httpx.AsyncClient(
        base_url=f"{stack.sandbox_url}/payments", headers={"Authorization": "Bearer sk_test_desk"}
    ) as client:
        provider = PaymentProvider(client, timeout_s=5)
        caller = ProviderCaller(books, try_locally=True, settling_window_s=SETTLING_WINDOW_S)
        yield Desk(OrderActivities(books), PaymentActivities(provider, books, caller), provider)


async def asked(shop: Shop, order: ShopOrder) -> list[tuple[str, str | None]]:
    """The operations that the provider was asked for, each with its key."""
    return [(row["operation"], row["key"]) for row in await shop.ledger.requests(order.id)]


async def test_a_stored_error_of_a_charge_that_worked_is_settled_by_the_search(shop: Shop, desk: Desk) -> None:
    order = await shop.order()
    step = step_in((await desk.reserve(order, at=datetime.now(UTC))).steps, StepName.CHARGE)
    await order.meets("charge", "error_after")

    with pytest.raises(ApplicationError, match="answered 500"):
        await desk.charge(order, step)
    progress = await desk.charge(order, step)

    assert step_in(progress.steps, StepName.CHARGE).outcome is StepOutcome.SUCCEEDED
    assert [operation for operation, _ in await asked(shop, order)] == ["charge", "charge", "search"]
    assert len((await shop.ledger.effects(order.id)).charges) == 1


async def test_a_stored_error_of_a_refund_that_worked_is_settled_by_the_search(shop: Shop, desk: Desk) -> None:
    order = await shop.order()
    step = step_in((await desk.reserve(order, at=datetime.now(UTC))).steps, StepName.CHARGE)
    await desk.charge(order, step)
    await desk.turn_round(order)
    async with desk.payments.books.order(order.id) as opened:
        # As the shipment's cancellation does.
        opened.announce(StepName.REFUND, 1, datetime.now(UTC))
    steps = (await order.booked()).steps
    await order.meets("refund", "error_after")

    with pytest.raises(ApplicationError, match="answered 500"):
        await desk.refund(order, steps)
    progress = await desk.refund(order, steps)

    assert step_in(progress.steps, StepName.REFUND).outcome is StepOutcome.SUCCEEDED
    effects = await shop.ledger.effects(order.id)
    assert len(effects.refunds) == 1
    assert effects.money_kept == 0


async def test_a_key_that_the_provider_may_have_forgotten_is_searched_and_not_repeated(shop: Shop, desk: Desk) -> None:
    order = await shop.order()
    step = step_in((await desk.reserve(order, at=datetime.now(UTC) - TOO_OLD)).steps, StepName.CHARGE)
    request = ChargeRequest(order_id=order.id, amount=order.placed.total, payment_method="pm_card_visa")
    charge_id = await desk.provider.charge(request, step.model_copy(update={"begun_at": datetime.now(UTC)}))

    progress = await desk.charge(order, step)

    settled = step_in(progress.steps, StepName.CHARGE)
    assert (settled.outcome, settled.reference) == (StepOutcome.SUCCEEDED, charge_id)
    assert [operation for operation, _ in await asked(shop, order)] == ["charge", "search"]


async def test_a_search_that_shows_a_declined_card_is_a_refusal(shop: Shop, desk: Desk) -> None:
    order = await shop.order(payment_method="pm_card_visa_chargeDeclined")
    step = step_in((await desk.reserve(order, at=datetime.now(UTC) - TOO_OLD)).steps, StepName.CHARGE)
    request = ChargeRequest(order_id=order.id, amount=order.placed.total, payment_method=order.placed.payment_method)
    with pytest.raises(ProviderRefused):
        await desk.provider.charge(request, step.model_copy(update={"begun_at": datetime.now(UTC)}))

    with pytest.raises(ApplicationError) as refused:
        await desk.charge(order, step)

    assert refused.value.type == "payment_declined"
    assert refused.value.non_retryable
    assert step_in((await order.booked()).steps, StepName.CHARGE).outcome is StepOutcome.REFUSED


async def test_absence_within_the_settling_window_proves_nothing(shop: Shop, desk: Desk) -> None:
    order = await shop.order()
    step = step_in((await desk.reserve(order, at=datetime.now(UTC) - TOO_OLD)).steps, StepName.CHARGE)

    for doubted in (None, (step.key, datetime.now(UTC)), ("another key", datetime.now(UTC) - AN_HOUR)):
        with pytest.raises(ApplicationError, match="too old to be repeated"):
            await desk.charge(order, step, doubted=doubted)

    assert step_in((await order.booked()).steps, StepName.CHARGE).key == step.key
    assert [operation for operation, _ in await asked(shop, order)] == ["search"] * 3


async def test_absence_after_the_settling_window_gives_the_charge_a_new_key(shop: Shop, desk: Desk) -> None:
    order = await shop.order()
    step = step_in((await desk.reserve(order, at=datetime.now(UTC) - TOO_OLD)).steps, StepName.CHARGE)

    with pytest.raises(ApplicationError, match="had no effect"):
        await desk.charge(order, step, doubted=(step.key, datetime.now(UTC) - AN_HOUR))
    progress = await desk.charge(order, step)

    assert step_in(progress.steps, StepName.CHARGE).outcome is StepOutcome.SUCCEEDED
    assert await asked(shop, order) == [("search", None), ("charge", f"{order.id}-1:charge:2")]
    assert len((await shop.ledger.effects(order.id)).charges) == 1


async def test_on_the_way_back_absence_settles_the_charge_and_nothing_is_refunded(shop: Shop, desk: Desk) -> None:
    order = await shop.order()
    step = step_in((await desk.reserve(order, at=datetime.now(UTC) - TOO_OLD)).steps, StepName.CHARGE)
    await desk.turn_round(order)

    progress = await desk.charge(order, step, doubted=(step.key, datetime.now(UTC) - AN_HOUR))

    assert step_in(progress.steps, StepName.CHARGE).outcome is StepOutcome.ABSENT
    assert progress.phase is Phase.UNDOING
    assert (await shop.ledger.effects(order.id)).charges == ()


async def test_a_charge_that_is_booked_already_is_not_booked_again(shop: Shop, desk: Desk) -> None:
    order = await shop.order()
    step = step_in((await desk.reserve(order, at=datetime.now(UTC))).steps, StepName.CHARGE)

    first, second = [await desk.charge(order, step) for _ in range(2)]

    assert first == second
    assert len((await shop.ledger.effects(order.id)).charges) == 1
