"""Every step of an order meets every way in which a provider can misbehave."""

import asyncio
from dataclasses import dataclass

import pytest

from contracts.orders import OrderStatus
from tests.shop import ON_HAND, WITHIN_S, Evidence, Shop, Stock

STEPS = ("charge", "ship", "refund", "cancel_shipment")
BEHAVIOURS = ("decline", "error_before", "error_after", "timeout_after", "slow", "rate_limit", "unavailable")

AMOUNT = 1_999
# Longer than a local try may take, so that the retries meet a call that is still at work.
SLOW_S = 2.0
# Longer than a step is retried for, so that the order parks at once.
LONGER_THAN_THE_WINDOW_S = 30.0


@dataclass(frozen=True)
class Case:
    """One step, and what its provider does the first time it is asked."""

    step: str
    behaviour: str

    def __str__(self) -> str:
        return f"{self.step}-{self.behaviour}"

    @property
    def is_shipped(self) -> bool:
        return self.step in ("charge", "ship") and self.behaviour != "decline"

    @property
    def ends_as(self) -> tuple[OrderStatus, str | None]:
        if self.is_shipped:
            return OrderStatus.COMPLETED, None
        match self.step:
            case "charge":
                return OrderStatus.REJECTED, "payment_declined"
            case "cancel_shipment":
                return OrderStatus.CANCELLED, "cancelled_by_customer"
            case _:
                return OrderStatus.REJECTED, "shipping_failed"

    @property
    def shipments(self) -> list[str]:
        if self.is_shipped:
            return ["booked"]
        return ["cancelled"] if self.step == "cancel_shipment" else []

    @property
    def charges(self) -> int:
        return 0 if (self.step, self.behaviour) == ("charge", "decline") else 1


CASES = [Case(step, behaviour) for step in STEPS for behaviour in BEHAVIOURS]


@pytest.fixture(scope="session")
async def outcomes(shop: Shop) -> dict[Case, Evidence]:
    """What became of one order per case; they run side by side."""
    async with asyncio.timeout(2 * WITHIN_S):
        return dict(zip(CASES, await asyncio.gather(*(meet(shop, case) for case in CASES)), strict=True))


async def meet(shop: Shop, case: Case) -> Evidence:
    order = await shop.order(amount=AMOUNT, retry_window_s=10)
    if case.step == "refund":
        await order.meets("ship", "decline")
    if case.step == "cancel_shipment":
        await order.meets("ship", "rate_limit", times=2, delay_s=LONGER_THAN_THE_WINDOW_S)
    await order.meets(case.step, case.behaviour, delay_s=SLOW_S if case.behaviour == "slow" else None)
    await order.start()
    if case.step == "cancel_shipment":
        await order.parked()
        await order.cancel()
    # What is refused on the way back is left to an operator.
    while await order.parked_or_final() is OrderStatus.NEEDS_ATTENTION:
        await order.parked()
        await order.retry()
    await order.outcome()
    await shop.ledger.until_fired(order.id, case.step, case.behaviour)
    return await order.evidence()


@pytest.mark.parametrize("case", CASES, ids=str)
class TestEachFault:
    def test_fires(self, case: Case, outcomes: dict[Case, Evidence]) -> None:
        assert (case.step, case.behaviour) in outcomes[case].fired

    def test_leads_to_the_right_status(self, case: Case, outcomes: dict[Case, Evidence]) -> None:
        evidence = outcomes[case]

        assert (evidence.status, evidence.failure_code) == case.ends_as
        assert evidence.view.status is evidence.status

    def test_leaves_the_money_right(self, case: Case, outcomes: dict[Case, Evidence]) -> None:
        effects = outcomes[case].effects

        assert len(effects.charges) == case.charges
        assert len(effects.refunds) == (case.charges if not case.is_shipped else 0)
        assert effects.money_kept == (AMOUNT if case.is_shipped else 0)

    def test_leaves_the_parcels_right(self, case: Case, outcomes: dict[Case, Evidence]) -> None:
        assert outcomes[case].effects.shipment_statuses == case.shipments

    def test_leaves_the_stock_right(self, case: Case, outcomes: dict[Case, Evidence]) -> None:
        evidence = outcomes[case]

        assert evidence.stock == Stock(on_hand=ON_HAND - 1 if case.is_shipped else ON_HAND, reserved=0)
        assert evidence.reservations == {"shipped" if case.is_shipped else "released"}
