"""A carrier that tells nothing is asked; hours and weeks are skipped on the real server."""

import asyncio
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import EventType
from temporalio.testing import TimeSkipper

from contracts.shipments import DAY_S, HOUR_S, Followed, ShipmentStatus
from tests.shipments import Parcel, grow_old, until_processed
from tests.shop import POLL_S, WITHIN_S, Shop

DISPATCHED, DELIVERED = ShipmentStatus.DISPATCHED, ShipmentStatus.DELIVERED
HOURS_6 = timedelta(hours=6)
A_BIT = timedelta(minutes=1)


def polled(step: str) -> tuple[str, str, str, None]:
    return ("poll", step, "applied", None)


async def timers_h(parcel: Parcel) -> list[float]:
    """The waits of its workflow, in hours."""
    return [
        event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta() / timedelta(hours=1)
        for event in (await parcel.history()).events
        if event.event_type == EventType.EVENT_TYPE_TIMER_STARTED
    ]


async def skip(shop: Shop, parcel: Parcel, duration: timedelta) -> None:
    async with asyncio.timeout(WITHIN_S):
        await TimeSkipper(shop.client).fast_forward(parcel.handle, duration)


async def test_the_carrier_is_not_asked_before_its_time(shop: Shop) -> None:
    parcel = await Parcel.on_its_way(shop)
    await parcel.travels("dispatched", "delivered", silent=True)

    await skip(shop, parcel, HOURS_6 - A_BIT)

    assert await shop.ledger.asked_where(parcel.order.id) == []
    assert (await parcel.booked()).status is ShipmentStatus.BOOKED
    await skip(shop, parcel, 2 * A_BIT)
    assert await parcel.outcome() is DELIVERED


async def test_a_silent_carrier_is_asked_and_believed(shop: Shop) -> None:
    parcel = await Parcel.handed_over(shop)
    await parcel.book()
    await parcel.travels("dispatched", "delivered", silent=True)

    await parcel.follow(TimeSkipper(shop.client).client)

    assert await parcel.outcome() is DELIVERED
    await parcel.until_decided(polled("dispatched"), polled("delivered"))
    tracking = await shop.ledger.tracking(parcel.order.id)
    assert [(row["step"], row["sent"]) for row in tracking] == [("dispatched", 0), ("delivered", 0)]
    booked = await parcel.booked()
    assert [booked.dispatched_at, booked.delivered_at] == [
        datetime.fromisoformat(row["occurred_at"]) for row in tracking
    ]
    assert await shop.ledger.asked_where(parcel.order.id) == [200]
    assert await timers_h(parcel) == [6]


async def test_a_carrier_that_moves_is_asked_every_six_hours_and_less_and_less_otherwise(shop: Shop) -> None:
    parcel = await Parcel.on_its_way(shop)

    await skip(shop, parcel, 3 * HOURS_6 + A_BIT)
    assert await shop.ledger.asked_where(parcel.order.id) == [200, 200]
    await parcel.travels("dispatched", silent=True)
    await skip(shop, parcel, 4 * HOURS_6)
    await parcel.until(DISPATCHED)
    await parcel.travels("delivered", silent=True)
    await skip(shop, parcel, HOURS_6 + A_BIT)

    assert await parcel.outcome() is DELIVERED
    assert await timers_h(parcel) == [6, 12, 24, 6]


async def test_a_step_that_was_told_too_early_is_confirmed_by_asking(shop: Shop) -> None:
    parcel = await Parcel.on_its_way(shop)
    await parcel.travels("delivered")
    await parcel.until_decided(("webhook", "delivered", "kept", "early: it is only booked"))

    await skip(shop, parcel, HOURS_6 + A_BIT)

    assert await parcel.outcome() is DELIVERED
    # One of the two has moved it. The carrier has on record that it was dispatched before.
    events = await parcel.events()
    assert sorted((source, step) for source, step, _, _ in events) == [
        ("poll", "delivered"),
        ("poll", "dispatched"),
        ("webhook", "delivered"),
    ]
    assert sorted(outcome for _, step, outcome, _ in events if step == "delivered") == ["applied", "duplicate"]


async def test_a_carrier_that_is_away_when_asked_is_asked_again(shop: Shop) -> None:
    parcel = await Parcel.on_its_way(shop)
    await parcel.travels("dispatched", "delivered", silent=True)
    await shop.ledger.misbehave(parcel.order.id, "track", "unavailable", times=2)

    await skip(shop, parcel, HOURS_6 + A_BIT)

    assert await parcel.outcome() is DELIVERED
    assert await shop.ledger.asked_where(parcel.order.id) == [503, 503, 200]


async def test_a_word_of_the_carrier_is_heard_while_it_does_not_answer(shop: Shop) -> None:
    parcel = await Parcel.on_its_way(shop)
    await shop.ledger.misbehave(parcel.order.id, "track", "unavailable", times=None)
    forwarding = asyncio.create_task(skip(shop, parcel, HOURS_6 + A_BIT))
    async with asyncio.timeout(WITHIN_S):
        await shop.ledger.until_fired(parcel.order.id, "track", "unavailable")

    await parcel.travels("dispatched", "delivered")

    assert await parcel.outcome() is DELIVERED
    await shop.ledger.behave()
    await forwarding


async def test_a_shipment_that_never_moves_is_left_to_people_after_thirty_days(shop: Shop) -> None:
    parcel = await Parcel.handed_over(shop)
    await parcel.book()

    await parcel.follow(TimeSkipper(shop.client).client)

    assert await parcel.outcome() is ShipmentStatus.BOOKED
    [(kind, order_id, detail)] = await parcel.attention()
    assert (kind, order_id) == ("shipment_overdue", parcel.order.id)
    assert detail.startswith(f"{parcel.id} is booked since ")
    waits = await timers_h(parcel)
    assert waits[:4] == [6, 12, 24, 24]
    assert 30 * 24 <= sum(waits) < 31 * 24
    assert len(await shop.ledger.asked_where(parcel.order.id)) == len(waits) == 32
    assert len((await parcel.history()).events) < 500
    # What is told after that is decided all the same.
    event_id = await parcel.tells("dispatched")
    await grow_old(shop, event_id)
    await until_processed(shop, event_id)
    assert (await parcel.booked()).status is DISPATCHED


async def test_a_shipment_that_was_called_back_is_not_followed_for_long(shop: Shop) -> None:
    parcel = await Parcel.on_its_way(shop)
    await parcel.call_back()

    await skip(shop, parcel, HOURS_6 + A_BIT)

    assert await parcel.outcome() is ShipmentStatus.CANCELLED


async def test_a_fresh_run_goes_on_where_the_one_before_was(shop: Shop) -> None:
    parcel = await Parcel.handed_over(shop, give_up_after_s=2 * DAY_S)
    await parcel.book()
    followed = Followed(status=ShipmentStatus.BOOKED, since=datetime.now(UTC) - timedelta(days=1.5), polls=1)

    await parcel.follow(TimeSkipper(shop.client).client, followed)

    assert await parcel.outcome() is ShipmentStatus.BOOKED
    assert await timers_h(parcel) == [12]
    assert len(await parcel.attention()) == 1


async def test_a_carrier_that_tells_too_much_fills_no_history(shop: Shop) -> None:
    parcel = await Parcel.on_its_way(shop, poll_after_s=HOUR_S)
    first_run = (await parcel.handle.describe()).run_id
    # The server suggests a fresh run at 4 MiB, and ends one that has 50.
    long_word = "very_" * 40_000

    for _ in range(30):
        await parcel.tells_directly(long_word)
    async with asyncio.timeout(2 * WITHIN_S):
        while (await parcel.handle.describe()).run_id == first_run:
            await asyncio.sleep(POLL_S)
    await parcel.tells("dispatched")
    await parcel.tells("delivered")

    assert await parcel.outcome() is DELIVERED
