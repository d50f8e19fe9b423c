"""A carrier that is quicker than our books, or tells when nobody follows the shipment any more: nothing is lost."""

import asyncio

import pytest
from temporalio.client import WorkflowFailureError

from contracts.shipments import ShipmentStatus
from tests.inbound_events import new_id, shipment_event
from tests.shipments import (
    Parcel,
    grow_old,
    is_processed,
    tell,
    until_processed,
    waits_in_outbox,
)
from tests.shop import POLL_S, WITHIN_S, Shop

DISPATCHED, DELIVERED = ShipmentStatus.DISPATCHED, ShipmentStatus.DELIVERED
KEPT = ("webhook", "dispatched", "kept", None)


def applied(step: str) -> tuple[str, str, str, None]:
    return ("webhook", step, "applied", None)


async def until_left(shop: Shop, event_id: str) -> None:
    """Wait until the relay tries no more."""
    async with asyncio.timeout(WITHIN_S):
        while await waits_in_outbox(shop, event_id):
            await asyncio.sleep(POLL_S)


async def test_steps_that_are_told_before_the_carrier_answers_us_are_not_lost(shop: Shop) -> None:
    order = await shop.order()
    await order.meets("ship", "timeout_after")
    await shop.ledger.travels(order.id, "dispatched", "delivered")
    await order.start()
    async with asyncio.timeout(WITHIN_S):
        tracking = await shop.ledger.until_told(order.id, 2)

    parcel = await Parcel.of(order)
    assert {row["shipment_id"] for row in tracking} == {parcel.carrier_id}
    assert await parcel.outcome() is DELIVERED
    await parcel.until_decided(applied("dispatched"), applied("delivered"))


async def test_a_step_of_a_shipment_that_is_not_booked_yet_waits_for_the_booking(shop: Shop) -> None:
    parcel = await Parcel.handed_over(shop)
    event_id = await parcel.tells("dispatched")
    await parcel.until_decided(KEPT)
    assert not await is_processed(shop, event_id)

    await parcel.book()
    await parcel.follow()

    await parcel.until(DISPATCHED)
    await until_processed(shop, event_id)
    assert await parcel.signals() >= 1


async def test_the_booking_hands_over_what_the_relay_has_given_up_waiting_for(shop: Shop) -> None:
    parcel = await Parcel.handed_over(shop)
    event_id = await parcel.tells("dispatched")
    await grow_old(shop, event_id)
    await until_left(shop, event_id)
    assert await parcel.events() == [KEPT]
    assert not await is_processed(shop, event_id)

    await parcel.book()
    assert await waits_in_outbox(shop, event_id)
    await parcel.follow()

    await parcel.until(DISPATCHED)
    await until_processed(shop, event_id)
    await until_left(shop, event_id)
    # Booked once more, as after a crash, there is nothing more to hand over.
    await parcel.book()
    assert not await waits_in_outbox(shop, event_id)
    assert (await parcel.booked()).status is DISPATCHED


async def test_a_step_that_is_told_between_booking_and_workflow_is_heard(shop: Shop) -> None:
    parcel = await Parcel.handed_over(shop)
    await parcel.book()
    event_id = await parcel.tells("dispatched")
    await parcel.until_decided(KEPT)

    await parcel.follow()

    await parcel.until(DISPATCHED)
    await until_processed(shop, event_id)


async def test_our_books_decide_alone_when_no_workflow_comes(shop: Shop) -> None:
    parcel = await Parcel.handed_over(shop)
    await parcel.book()
    event_id = await parcel.tells("dispatched")

    await grow_old(shop, event_id)

    await parcel.until(DISPATCHED)
    await until_processed(shop, event_id)


async def test_our_books_decide_alone_when_an_operator_has_ended_the_following(shop: Shop) -> None:
    parcel = await Parcel.on_its_way(shop)
    await parcel.handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await parcel.outcome()
    event_id = await parcel.tells("dispatched")

    await grow_old(shop, event_id)

    await parcel.until(DISPATCHED)
    await until_processed(shop, event_id)


async def test_a_step_of_somebody_elses_shipment_is_kept_and_nothing_else(shop: Shop) -> None:
    event_id = await tell(shop, shipment_event(carrier_id=new_id("shp")))

    await grow_old(shop, event_id)

    await until_left(shop, event_id)
    assert not await is_processed(shop, event_id)


async def test_what_is_no_step_of_a_shipment_is_kept_and_nothing_else(shop: Shop) -> None:
    parcel = await Parcel.on_its_way(shop)
    others = [{**parcel.event("dispatched"), "type": kind} for kind in ("moon.risen", "shipment")]
    unreadable = [{**parcel.event("dispatched"), "data": None}, {**parcel.event("dispatched"), "timestamp": "today"}]

    for event in [*others, *unreadable]:
        await until_processed(shop, await tell(shop, event))

    assert await parcel.events() == []


async def test_what_is_told_of_a_shipment_that_was_called_back_is_refused(shop: Shop) -> None:
    parcel = await Parcel.on_its_way(shop)
    await parcel.call_back()
    await parcel.call_back()

    await parcel.tells("dispatched")

    assert await parcel.outcome() is ShipmentStatus.CANCELLED
    await parcel.until_decided(("webhook", "dispatched", "refused", "it was cancelled"))
