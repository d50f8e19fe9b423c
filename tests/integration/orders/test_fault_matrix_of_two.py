"""Every step of either of an order's two fulfilments meets every way in which a provider can misbehave.

What happens to the one is nothing to the other; the money is right to the cent.
"""

import asyncio
from dataclasses import dataclass

import pytest

from contracts.fulfilments import FulfilmentStatus
from contracts.orders import OrderStatus
from tests.integration.orders.test_fault_matrix import BEHAVIOURS, LONGER_THAN_THE_WINDOW_S, SLOW_S, STEPS
from tests.shop import WITHIN_S, Evidence, Shop, Stock

PRICE = 1_999
# Two units here and one there: the fulfilments cost different sums.
WAREHOUSES = {"wh_lyon": 2, "wh_oslo": 1}
UNITS = {1: 2, 2: 1}


@dataclass(frozen=True)
class Case:
    """One step of one fulfilment, and what its provider does the first time it is asked."""

    step: str
    behaviour: str
    fulfilment: int

    def __str__(self) -> str:
        return f"{self.step}-{self.behaviour}-{self.fulfilment}"

    @property
    def other(self) -> int:
        return 3 - self.fulfilment

    @property
    def sent(self) -> list[int]:
        """The fulfilments that are paid and handed over in the end."""
        if self.step == "cancel_shipment":
            return []
        is_undone = self.step == "refund" or self.behaviour == "decline"
        return [self.other] if is_undone else [1, 2]

    @property
    def ends_as(self) -> tuple[OrderStatus, str | None]:
        match len(self.sent):
            case 2:
                return OrderStatus.COMPLETED, None
            case 1:
                declined = self.step == "charge"
                return OrderStatus.PARTIALLY_COMPLETED, "payment_declined" if declined else "shipping_failed"
            case _:
                return OrderStatus.CANCELLED, "cancelled_by_customer"

    @property
    def charged(self) -> list[int]:
        return [self.other] if (self.step, self.behaviour) == ("charge", "decline") else [1, 2]


CASES = [Case(step, behaviour, which) for step in STEPS for behaviour in BEHAVIOURS for which in UNITS]


@pytest.fixture(scope="session")
async def outcomes(shop: Shop) -> dict[Case, Evidence]:
    """What became of one order per case; they run side by side."""
    async with asyncio.timeout(5 * WITHIN_S):
        return dict(zip(CASES, await asyncio.gather(*(meet(shop, case) for case in CASES)), strict=True))


async def meet(shop: Shop, case: Case) -> Evidence:
    order = await shop.order(amount=PRICE, on_hand=WAREHOUSES, quantity=3, retry_window_s=10)
    if case.step == "refund":
        await order.meets("ship", "decline", fulfilment=case.fulfilment)
    if case.step == "cancel_shipment":
        for number in UNITS:
            await order.meets("ship", "rate_limit", fulfilment=number, times=2, delay_s=LONGER_THAN_THE_WINDOW_S)
    delay_s = SLOW_S if case.behaviour == "slow" else None
    await order.meets(case.step, case.behaviour, fulfilment=case.fulfilment, delay_s=delay_s)
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


def cost(*numbers: int) -> int:
    return sum(PRICE * UNITS[number] for number in numbers)


@pytest.mark.parametrize("case", CASES, ids=str)
class TestEachFault:
    def test_fires(self, case: Case, outcomes: dict[Case, Evidence]) -> None:
        assert (case.step, case.behaviour) in outcomes[case].fired

    def test_leads_to_the_right_statuses(self, case: Case, outcomes: dict[Case, Evidence]) -> None:
        evidence = outcomes[case]

        assert (evidence.status, evidence.failure_code) == case.ends_as
        undone = FulfilmentStatus.CANCELLED if case.step == "cancel_shipment" else FulfilmentStatus.FAILED
        assert {one.number: one.status for one in evidence.booked.fulfilments} == {
            number: FulfilmentStatus.SHIPPED if number in case.sent else undone for number in UNITS
        }
        assert evidence.view.fulfilments == evidence.booked.fulfilments

    def test_leaves_the_money_right(self, case: Case, outcomes: dict[Case, Evidence]) -> None:
        effects = outcomes[case].effects

        assert sorted(row["amount"] for row in effects.charges) == sorted(cost(number) for number in case.charged)
        refunded = [number for number in case.charged if number not in case.sent]
        assert sorted(row["amount"] for row in effects.refunds) == sorted(cost(number) for number in refunded)
        assert effects.money_kept == cost(*case.sent)

    def test_leaves_the_parcels_right(self, case: Case, outcomes: dict[Case, Evidence]) -> None:
        expected = ["cancelled"] * 2 if case.step == "cancel_shipment" else ["booked"] * len(case.sent)
        assert outcomes[case].effects.shipment_statuses == expected

    def test_leaves_the_stock_right(self, case: Case, outcomes: dict[Case, Evidence]) -> None:
        shipped = sum(UNITS[number] for number in case.sent)
        assert outcomes[case].stock == Stock(on_hand=sum(UNITS.values()) - shipped, reserved=0)
