"""Orders in several parts: what stops one of them, and what customers and operators may still do."""

import json
from base64 import b64decode
from collections.abc import Awaitable
from datetime import timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import TimeSkipper

from contracts.customers import CustomerAction
from contracts.fulfilments import FulfilmentStatus
from contracts.orders import Address, EventType, Order, OrderStatus
from tests.shop import Shop, ShopOrder, Stock

PRICE = 1_999
TWO = {"wh_lyon": 1, "wh_oslo": 1}
LARGE = 60_000
LYON = Address(name="Ada", line1="4 Rue Neuve", city="Lyon", postal_code="69001", country="FR")
DAYS_3 = timedelta(days=3)
SHIPPED, FAILED, CANCELLED = FulfilmentStatus.SHIPPED, FulfilmentStatus.FAILED, FulfilmentStatus.CANCELLED


async def stuck_at(shop: Shop, step: str, fulfilment: int) -> ShopOrder:
    """An order of two parts of which one could not be got on with; its provider is well again by now."""
    order = await shop.order(on_hand=TWO, quantity=2, retry_window_s=1)
    await order.meets(step, "rate_limit", fulfilment=fulfilment, times=None, delay_s=30)
    await order.start()
    await order.parked()
    await shop.ledger.behave()
    return order


def statuses(order: Order) -> list[FulfilmentStatus]:
    return [one.status for one in order.fulfilments]


async def refusal(asked: Awaitable[Order]) -> str | None:
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await asked
    cause = refused.value.cause
    assert isinstance(cause, ApplicationError)
    return cause.type


async def test_a_stuck_part_leaves_the_other_one_shipped_and_the_order_to_an_operator(shop: Shop) -> None:
    order = await stuck_at(shop, "charge", 2)

    booked = await order.booked()
    assert booked.status is OrderStatus.NEEDS_ATTENTION
    assert statuses(booked) == [SHIPPED, FulfilmentStatus.PROCESSING]
    assert booked.timeline[-1].detail.startswith("left to do: charge 19.99 usd, then ship fulfilment 2 (")
    assert await refusal(order.cancel()) == "too_late"
    assert await refusal(order.resolve(OrderStatus.CANCELLED)) == "books_contradict"

    await order.retry()

    evidence = await order.settled_evidence()
    assert evidence.status is OrderStatus.COMPLETED
    assert evidence.effects.money_kept == 2 * PRICE


async def test_the_web_uis_cancel_button_changes_nothing_for_a_stuck_part_whose_neighbour_was_shipped(
    shop: Shop,
) -> None:
    order = await stuck_at(shop, "charge", 2)

    await order.handle.cancel()

    # An order that had gone on by itself would not wait for an operator any more.
    assert (await order.retry()).status is not OrderStatus.NEEDS_ATTENTION
    evidence = await order.settled_evidence()
    assert evidence.status is OrderStatus.COMPLETED
    assert evidence.timeline.count("retried") == 1


async def test_an_order_from_sixty_warehouses_goes_out_in_sixty_parcels(shop: Shop) -> None:
    """What Temporal takes of one workflow task is less than all parts told of in each booking would be."""
    order = await shop.order(
        on_hand={f"wh_{number:02}": 1 for number in range(60)}, quantity=60, approval_threshold=10**6
    )

    await order.start()

    evidence = await order.settled_evidence()
    assert evidence.status is OrderStatus.COMPLETED
    assert evidence.effects.money_kept == 60 * PRICE
    assert evidence.effects.shipment_statuses == ["booked"] * 60
    assert evidence.stock == Stock(on_hand=0, reserved=0)
    assert evidence.view == evidence.agreed
    assert (await order.handle.describe()).raw_description.workflow_execution_info.history_size_bytes < 1_500_000


async def test_an_operator_can_give_up_a_stuck_part_and_leave_the_other_one_with_the_customer(shop: Shop) -> None:
    order = await stuck_at(shop, "ship", 1)

    await order.resolve(OrderStatus.PARTIALLY_COMPLETED)

    evidence = await order.settled_evidence()
    assert evidence.status is OrderStatus.PARTIALLY_COMPLETED
    assert statuses(evidence.booked) == [CANCELLED, SHIPPED]
    assert evidence.effects.money_kept == PRICE
    assert sorted(evidence.effects.shipment_statuses) == ["booked", "cancelled"]
    assert evidence.stock == Stock(on_hand=1, reserved=0)
    assert evidence.view == evidence.agreed


async def test_an_order_of_which_every_part_fails_is_rejected(shop: Shop) -> None:
    order = await shop.order(on_hand=TWO, quantity=2, payment_method="pm_card_visa_chargeDeclined")

    await order.start()

    evidence = await order.settled_evidence()
    assert (evidence.status, evidence.failure_code) == (OrderStatus.REJECTED, "payment_declined")
    assert statuses(evidence.booked) == [FAILED, FAILED]
    assert evidence.stock == Stock(on_hand=2, reserved=0)
    assert evidence.effects.money_kept == 0


async def test_a_refund_that_is_refused_parks_the_order_though_the_other_part_is_shipped(shop: Shop) -> None:
    order = await shop.order(on_hand=TWO, quantity=2)
    await order.meets("ship", "decline", fulfilment=2)
    await order.meets("refund", "decline", fulfilment=2)
    await order.start()
    assert (await order.parked()).startswith("left to undo: refund 19.99 usd (")

    # The operator has paid it back by hand: our books say so, and the provider knows of no refund.
    await order.resolve(OrderStatus.PARTIALLY_COMPLETED, note="paid back in cash")

    evidence = await order.settled_evidence()
    assert evidence.status is OrderStatus.PARTIALLY_COMPLETED
    assert statuses(evidence.booked) == [SHIPPED, FAILED]
    assert evidence.stock == Stock(on_hand=1, reserved=0)
    assert evidence.effects.refunds == ()
    assert evidence.failure_code == "shipping_failed"


async def test_a_customer_who_is_silent_for_72_hours_gets_everything_released(shop: Shop) -> None:
    skipper = TimeSkipper(shop.client)
    order = await shop.order(on_hand={"wh_oslo": 1}, quantity=2)

    await order.start(skipper.client)

    evidence = await order.settled_evidence()
    assert (evidence.status, evidence.failure_code) == (OrderStatus.CANCELLED, "customer_timed_out")
    assert statuses(evidence.booked) == [CANCELLED, CANCELLED]
    assert evidence.stock == Stock(on_hand=1, reserved=0)
    assert evidence.effects.charges == ()
    asked, ended = (
        next(entry.at for entry in evidence.booked.timeline if entry.type is event)
        for event in (EventType.CUSTOMER_ASKED, EventType.CANCELLED)
    )
    assert DAYS_3 <= ended - asked < DAYS_3 + timedelta(minutes=1)


async def test_the_web_uis_cancel_button_ends_a_wait_for_the_customer(shop: Shop) -> None:
    order = await shop.place(on_hand={"wh_oslo": 1}, quantity=2)
    await order.until(OrderStatus.AWAITING_CUSTOMER)

    await order.handle.cancel()

    assert (await order.settled()).status is OrderStatus.CANCELLED


async def test_the_total_in_the_web_ui_is_that_of_the_amended_order(shop: Shop) -> None:
    order = await shop.place(on_hand={"wh_oslo": 1}, quantity=2)
    await order.until(OrderStatus.AWAITING_CUSTOMER)

    await order.act(CustomerAction.AMEND)

    await order.outcome()
    described = await order.handle.describe()
    assert {pair.key.name: pair.value for pair in described.typed_search_attributes}["OrderTotal"] == PRICE


async def test_the_carrier_is_given_the_address_that_the_order_was_changed_to(shop: Shop) -> None:
    order = await shop.order(amount=LARGE, on_hand=TWO, quantity=2)
    await order.meets("ship", "error_before", times=2)
    await order.start()
    await order.until(OrderStatus.AWAITING_APPROVAL)

    await order.send_to(LYON)
    await order.decide(approved=True)

    evidence = await order.settled_evidence()
    assert evidence.booked.ship_to == LYON
    assert evidence.view == evidence.agreed
    events = json.loads((await order.history()).to_json())["events"]
    sent_to = [
        json.loads(b64decode(scheduled["input"]["payloads"][0]["data"]))["call"]["ship_to"]["city"]
        for event in events
        if (scheduled := event.get("activityTaskScheduledEventAttributes"))
        and scheduled["activityType"]["name"] == "ship"
    ]
    assert sent_to == ["Lyon", "Lyon"]


async def test_an_address_is_fixed_once_the_carrier_may_have_heard_of_a_part(shop: Shop) -> None:
    order = await stuck_at(shop, "ship", 1)

    assert await refusal(order.send_to(LYON)) == "too_late"

    await order.retry()
    booked = await order.settled()
    assert booked.status is OrderStatus.COMPLETED
    assert booked.ship_to != LYON
