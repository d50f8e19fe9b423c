"""Whatever goes wrong, and whoever interferes: the books, the workflow and the providers' ledgers agree at the end."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from traceback import format_exception

import pytest

from contracts.customers import CustomerAction
from contracts.fulfilments import Fulfilment, FulfilmentStatus
from contracts.ids import fulfilment_id
from contracts.orders import FINAL_STATUSES, EventType, Order, OrderStatus, Phase, TimelineEntry
from tests.answers import OVER, answer
from tests.integration.orders.plans import Approval, Cancel, CancelBy, Operator, Plan, Shortage, draw
from tests.providers_ledger import Effects
from tests.shop import ADA, POLL_S, Evidence, Shop, ShopOrder, Stock

# `make chaos` asks for all, of which at least 300 meet a fault.
ALL_PLANS = 440
PLANS = int(os.environ.get("RANDOM_ORDERS", "60"))
AT_ONCE = 28
EACH_WITHIN_S = 60
ALL_WITHIN_S = 240
EXAMPLES = PLANS * 300 // ALL_PLANS

AMOUNT = 1_999
LARGE_AMOUNT = 60_000
RESOLUTIONS = {
    Operator.RESOLVE_CANCELLED: OrderStatus.CANCELLED,
    Operator.RESOLVE_REJECTED: OrderStatus.REJECTED,
    Operator.RESOLVE_COMPLETED: OrderStatus.COMPLETED,
    Operator.RESOLVE_PARTIALLY_COMPLETED: OrderStatus.PARTIALLY_COMPLETED,
}
REFUSALS = ("too_late", "not_parked", "books_contradict", "no_action_required")
ANSWERS = {*OrderStatus, "accepted", *REFUSALS, OVER}
ELSEWHERE = ADA.model_copy(update={"line1": "13 Long St"})

Examples = tuple[tuple[Plan, Evidence], ...]


@dataclass(frozen=True)
class Experience:
    """What became of the orders: the evidence of each plan, or what went wrong with observing it."""

    examples: tuple[tuple[Plan, Evidence], ...]
    failures: tuple[tuple[Plan, str], ...]
    delivered: tuple[tuple[Evidence, Order], ...]


@pytest.fixture(scope="session")
async def experience(shop: Shop) -> Experience:
    """Act out every plan, many at a time."""
    slots = asyncio.Semaphore(AT_ONCE)
    arrived: list[tuple[Evidence, Order]] = []

    async def follow(plan: Plan) -> Evidence:
        async with slots, asyncio.timeout(EACH_WITHIN_S):
            evidence = await act_out(shop, plan)
            if plan.journey and sent(evidence):
                arrived.append((evidence, await deliver(shop, evidence.booked.id, plan.journey)))
            return evidence

    plans = draw(PLANS)
    async with asyncio.timeout(ALL_WITHIN_S):
        results = await asyncio.gather(*map(follow, plans), return_exceptions=True)
    failures = [
        (plan, result) for plan, result in zip(plans, results, strict=True) if isinstance(result, BaseException)
    ]
    return Experience(
        examples=tuple(
            (plan, result) for plan, result in zip(plans, results, strict=True) if isinstance(result, Evidence)
        ),
        failures=tuple((plan, "".join(format_exception(error))) for plan, error in failures),
        delivered=tuple(arrived),
    )


@pytest.fixture(scope="session")
def examples(experience: Experience) -> Examples:
    return experience.examples


async def act_out(shop: Shop, plan: Plan) -> Evidence:
    order = await shop.order(
        amount=AMOUNT if plan.approval is Approval.ABSENT else LARGE_AMOUNT,
        on_hand=plan.warehouses,
        quantity=plan.wanted,
        customer_deadline_s=1 if plan.shortage is Shortage.UNANSWERED else 60,
        retry_window_s=plan.retry_window_s,
        approval_deadline_s=1 if plan.approval is Approval.TIMES_OUT else 60,
    )
    for fault in plan.faults:
        which = fault.fulfilment and min(fault.fulfilment, len(plan.stock))
        await order.meets(fault.operation, fault.behaviour, fulfilment=which, times=fault.times, delay_s=fault.delay_s)
    await order.start()
    over = asyncio.Event()
    async with asyncio.TaskGroup() as everybody:
        if plan.cancel:
            everybody.create_task(cancel_in_time(order, plan.cancel, over))
        if plan.moves:
            everybody.create_task(move(order))
        await answer_shortage(order, plan.shortage)
        await decide(order, plan.approval)
        await operate(order, plan)
        await order.outcome()
        over.set()
    return await order.evidence()


async def deliver(shop: Shop, order_id: str, journey: tuple[str, ...]) -> Order:
    """Have everything that was sent travel, and return the order once all of it has arrived."""
    await shop.ledger.travels(order_id, *journey)
    while True:
        found = await shop.books.find(order_id)
        assert found is not None
        if {parcel.status for parcel in found.order.shipments} <= {"delivered", "cancelled"}:
            return found.order
        await asyncio.sleep(POLL_S)


async def answer_shortage(order: ShopOrder, shortage: Shortage) -> None:
    if shortage in (Shortage.AMENDED, Shortage.DECLINED):
        await order.until(*set(OrderStatus) - {OrderStatus.ACCEPTED})
        amends = shortage is Shortage.AMENDED
        await answered(order.act(CustomerAction.AMEND if amends else CustomerAction.CANCEL))


async def move(order: ShopOrder) -> None:
    await order.until(*set(OrderStatus) - {OrderStatus.ACCEPTED})
    await answered(order.send_to(ELSEWHERE))


async def decide(order: ShopOrder, approval: Approval) -> None:
    match approval:
        case Approval.EARLY:
            await answered(order.decide(approved=True))
        case Approval.GIVEN | Approval.REFUSED:
            await order.until(*set(OrderStatus) - {OrderStatus.ACCEPTED, OrderStatus.AWAITING_CUSTOMER})
            await answered(order.decide(approved=approval is Approval.GIVEN))


async def operate(order: ShopOrder, plan: Plan) -> None:
    """Have operators repair the order until it is over: as planned while it goes forward, then by retries."""
    planned = iter(plan.operators)
    while not (await order.parked_or_final()).is_final:
        view = await order.view()
        if view.status is OrderStatus.NEEDS_ATTENTION:
            await act(order, next(planned, Operator.RETRY) if view.phase is Phase.FORWARD else Operator.RETRY)


async def act(order: ShopOrder, operator: Operator) -> None:
    match operator:
        case Operator.RETRY:
            await answered(order.retry())
        case Operator.CANCEL:
            await answered(order.cancel())
        case _:
            await answered(order.resolve(RESOLUTIONS[operator]))


async def cancel_in_time(order: ShopOrder, cancel: Cancel, over: asyncio.Event) -> None:
    while len(await order.shop.ledger.requests(order.id)) < cancel.after_requests and not over.is_set():
        await asyncio.sleep(POLL_S)
    await answered(order.cancel() if cancel.by is CancelBy.UPDATE else order.handle.cancel())


async def answered(asked: Awaitable[Order | None]) -> None:
    """Ask something of an order, which may do it, refuse it, or be over; it never leaves one without an answer."""
    assert await answer(asked) in ANSWERS


def broken(examples: Examples, holds: Callable[[Evidence], bool]) -> Iterator[str]:
    """The examples that break an invariant, each with all that is known of it."""
    for plan, evidence in examples:
        if not holds(evidence):
            yield f"{plan}\n  {evidence}\n"


def test_every_order_comes_to_an_end(experience: Experience) -> None:
    assert not experience.failures, "\n\n".join(f"{plan}\n{error}" for plan, error in experience.failures)


def test_enough_examples_have_met_a_fault(examples: Examples) -> None:
    assert sum(bool(evidence.fired) for _, evidence in examples) >= EXAMPLES


def parts(evidence: Evidence) -> Iterator[tuple[Fulfilment, Effects]]:
    """Each of an order's fulfilments that is to be had, with its own effects at the providers."""
    for fulfilment in evidence.booked.fulfilments:
        if fulfilment.warehouse is not None:
            key = f"{fulfilment_id(evidence.booked.id, fulfilment.number)}:"
            yield fulfilment, evidence.effects.under(key)


def sent(evidence: Evidence) -> list[Fulfilment]:
    return [fulfilment for fulfilment, _ in parts(evidence) if fulfilment.status is FulfilmentStatus.SHIPPED]


def test_what_is_shipped_is_charged_exactly_once(examples: Examples) -> None:
    def holds(evidence: Evidence) -> bool:
        return all(
            [row["amount"] for row in effects.charges] == [fulfilment.amount.amount] and not effects.refunds
            for fulfilment, effects in parts(evidence)
            if "booked" in effects.shipment_statuses
        )

    assert not list(broken(examples, holds))


def test_what_is_not_shipped_costs_nothing(examples: Examples) -> None:
    def holds(evidence: Evidence) -> bool:
        return all(
            effects.money_kept == 0 for _, effects in parts(evidence) if "booked" not in effects.shipment_statuses
        )

    assert not list(broken(examples, holds))


def test_the_customer_pays_to_the_cent_for_what_is_sent(examples: Examples) -> None:
    def holds(evidence: Evidence) -> bool:
        return evidence.effects.money_kept == sum(fulfilment.amount.amount for fulfilment in sent(evidence))

    assert not list(broken(examples, holds))


def test_a_fulfilment_is_shipped_when_the_carrier_has_it(examples: Examples) -> None:
    def holds(evidence: Evidence) -> bool:
        return all(
            ("booked" in effects.shipment_statuses) == (fulfilment.status is FulfilmentStatus.SHIPPED)
            for fulfilment, effects in parts(evidence)
        )

    assert not list(broken(examples, holds))


def test_the_status_says_how_much_of_the_order_was_sent(examples: Examples) -> None:
    def holds(evidence: Evidence) -> bool:
        units = sum(line.quantity for fulfilment in sent(evidence) for line in fulfilment.lines)
        match evidence.status:
            case OrderStatus.COMPLETED:
                return units == sum(line.quantity for line in evidence.booked.lines)
            case OrderStatus.PARTIALLY_COMPLETED:
                return 0 < units < sum(line.quantity for line in evidence.booked.lines)
            case _:
                return units == 0

    assert not list(broken(examples, holds))


def test_what_was_taken_off_and_what_is_left_is_what_was_ordered(experience: Experience) -> None:
    for plan, evidence in experience.examples:
        lines = (*evidence.booked.lines, *evidence.booked.removed_lines)
        assert sum(line.quantity for line in lines) == plan.wanted
        assert evidence.booked.total.amount == sum(
            line.quantity * line.unit_price.amount for line in evidence.booked.lines
        )


def test_nothing_is_done_twice(examples: Examples) -> None:
    def holds(evidence: Evidence) -> bool:
        return all(
            len(rows) <= 1
            for _, effects in parts(evidence)
            for rows in (effects.charges, effects.refunds, effects.shipments)
        )

    assert not list(broken(examples, holds))


def test_no_unit_of_stock_is_lost(experience: Experience) -> None:
    for plan, evidence in experience.examples:
        shipped = sum(line.quantity for fulfilment in sent(evidence) for line in fulfilment.lines)
        assert evidence.stock == Stock(on_hand=sum(plan.stock) - shipped, reserved=0), f"{plan}\n  {evidence}"


def test_every_order_gets_one_final_status(examples: Examples) -> None:
    def holds(evidence: Evidence) -> bool:
        finals = [entry for entry in evidence.timeline if entry in FINAL_STATUSES]
        return evidence.status.is_final and finals == [evidence.status] and evidence.timeline[-1] == evidence.status

    assert not list(broken(examples, holds))


def test_the_projection_says_what_the_workflow_says(examples: Examples) -> None:
    def holds(evidence: Evidence) -> bool:
        booked, view = (
            order.model_copy(update={"steps": {(step.fulfilment, step.name): step for step in order.steps}})
            for order in (evidence.agreed, evidence.view)
        )
        return booked == view

    assert not list(broken(examples, holds))


def test_timelines_have_no_gap_and_never_go_back(examples: Examples) -> None:
    def holds(evidence: Evidence) -> bool:
        timeline = evidence.booked.timeline
        in_order = [entry.at for entry in timeline] == sorted(entry.at for entry in timeline)
        return in_order and [entry.sequence for entry in timeline] == list(range(1, len(timeline) + 1))

    assert not list(broken(examples, holds))


def test_an_order_that_came_to_its_end_by_itself_leaves_no_call_in_doubt(examples: Examples) -> None:
    def holds(evidence: Evidence) -> bool:
        in_doubt = [step for step in evidence.booked.steps if step.outcome is None]
        return "resolved" in evidence.timeline or not in_doubt

    assert not list(broken(examples, holds))


def test_compensations_come_in_reverse(examples: Examples) -> None:
    backwards = [EventType.SHIPMENT_CANCELLED, EventType.REFUNDED, EventType.RESERVATION_RELEASED]

    def holds(evidence: Evidence) -> bool:
        undone = [
            [entry.type for entry in evidence.booked.timeline if entry.type in backwards and is_of(entry, number)]
            for number in (one.number for one in evidence.booked.fulfilments)
        ]
        return all(events == [event for event in backwards if event in events] for events in undone)

    def is_of(entry: TimelineEntry, number: int) -> bool:
        return not entry.detail.startswith("fulfilment ") or entry.detail.startswith(f"fulfilment {number}:")

    assert not list(broken(examples, holds))


def test_what_was_sent_arrives_however_its_steps_are_told_and_changes_nothing_else(experience: Experience) -> None:
    assert len(experience.delivered) >= EXAMPLES // 10
    for before, after in experience.delivered:
        parcels = {parcel.fulfilment_id: parcel for parcel in after.shipments}
        for fulfilment in sent(before):
            parcel = parcels[fulfilment_id(after.id, fulfilment.number)]
            assert parcel.status == "delivered"
            assert parcel.delivered_at is not None
        assert after.model_copy(update={"shipments": ()}) == before.agreed


@pytest.mark.skipif(PLANS < ALL_PLANS, reason="so few plans have no order of each shape")
def test_the_plans_meet_every_shape_of_order(examples: Examples) -> None:
    assert {evidence.status for _, evidence in examples} == FINAL_STATUSES
    assert {len(evidence.booked.fulfilments) for _, evidence in examples} == {1, 2, 3, 4}
    assert any(evidence.booked.removed_lines and sent(evidence) for _, evidence in examples)
    assert any(EventType.ADDRESS_CHANGED in evidence.timeline for _, evidence in examples)
