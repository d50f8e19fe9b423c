"""What the sandbox's carrier tells over HTTP, in any order and number, moves a shipment step by step."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from contracts.shipments import ShipmentStatus
from stack.home import Home
from tests.endpoints import ShopEndpoint
from tests.inbound_events import encoded, new_id, standard_headers
from tests.shipments import Parcel
from tests.shop import WITHIN_S, Shop
from tests.stack_session import RunningStack
from tests.webhooks import Hook, hook

DISPATCHED, DELIVERED = ShipmentStatus.DISPATCHED, ShipmentStatus.DELIVERED
EARLY = ("webhook", "delivered", "kept", "early: it is only booked")
OTHER_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def applied(step: str) -> tuple[str, str, str, None]:
    return ("webhook", step, "applied", None)


def told(receiver: Hook, endpoint: ShopEndpoint) -> list[tuple[str, str, str]]:
    """Type, id and status of every message, in the order of the events."""
    payloads: list[dict[str, Any]] = [message.verified(endpoint.secret) for message in receiver.messages]
    payloads.sort(key=lambda payload: datetime.fromisoformat(payload["timestamp"]))
    return [(payload["type"], payload["data"]["id"], payload["data"]["status"]) for payload in payloads]


@pytest.fixture
async def receiver() -> AsyncIterator[Hook]:
    async with hook() as opened:
        yield opened


async def test_a_whole_journey_is_followed_and_told(shop: Shop, receiver: Hook) -> None:
    endpoint = await ShopEndpoint.at(receiver, shop, "shipment.dispatched", "shipment.delivered")
    parcel = await Parcel.on_its_way(shop, owner=endpoint.owner)
    before = await parcel.order.evidence()

    await parcel.travels("dispatched", "delivered", delay_s=0.2)

    assert await parcel.outcome() is DELIVERED
    await parcel.until_decided(applied("dispatched"), applied("delivered"))
    async with asyncio.timeout(WITHIN_S):
        tracking = await shop.ledger.until_told(parcel.order.id, 2)
    assert [(row["step"], row["sent"]) for row in tracking] == [("dispatched", 1), ("delivered", 1)]
    booked = await parcel.booked()
    assert booked.status is DELIVERED
    assert [booked.dispatched_at, booked.delivered_at] == [
        datetime.fromisoformat(row["occurred_at"]) for row in tracking
    ]
    await receiver.until_got(2)
    assert told(receiver, endpoint) == [
        ("shipment.dispatched", parcel.id, "dispatched"),
        ("shipment.delivered", parcel.id, "delivered"),
    ]
    assert await shop.ledger.asked_where(parcel.order.id) == []
    # The order was over before, and stays as it was; only the carrier's own record has moved.
    after = await parcel.order.evidence()
    assert (after.agreed, after.view) == (before.agreed, before.view)
    assert after.effects.shipment_statuses == ["delivered"]


async def test_a_slow_journey_is_seen_on_its_way(shop: Shop) -> None:
    parcel = await Parcel.on_its_way(shop)

    await parcel.travels("dispatched", "delivered", delay_s=1)

    on_its_way = await parcel.until(DISPATCHED)
    assert on_its_way.delivered_at is None
    arrived = await parcel.until(DELIVERED)
    assert arrived.dispatched_at is not None
    assert arrived.dispatched_at == on_its_way.dispatched_at
    assert arrived.delivered_at is not None
    assert (arrived.delivered_at - arrived.dispatched_at).total_seconds() >= 1
    assert await parcel.outcome() is DELIVERED


async def test_steps_that_overtake_each_other_wait_for_each_other(shop: Shop, receiver: Hook) -> None:
    endpoint = await ShopEndpoint.at(receiver, shop, "shipment.dispatched", "shipment.delivered")
    parcel = await Parcel.on_its_way(shop, owner=endpoint.owner)

    await parcel.travels("delivered")
    await parcel.until_decided(EARLY)
    assert (await parcel.booked()).status is ShipmentStatus.BOOKED
    await parcel.travels("dispatched")

    assert await parcel.outcome() is DELIVERED
    await parcel.until_decided(applied("delivered"), applied("dispatched"))
    await receiver.until_got(2)
    assert {kind for kind, _, _ in told(receiver, endpoint)} == {"shipment.dispatched", "shipment.delivered"}


async def test_steps_that_come_at_once_in_the_wrong_order_arrive(shop: Shop) -> None:
    parcel = await Parcel.on_its_way(shop)

    await parcel.travels("delivered", "dispatched")

    assert await parcel.outcome() is DELIVERED
    await parcel.until_decided(applied("delivered"), applied("dispatched"))


async def test_doubled_steps_count_once_and_are_told_once(shop: Shop, receiver: Hook) -> None:
    endpoint = await ShopEndpoint.at(receiver, shop, "shipment.dispatched", "shipment.delivered")
    parcel = await Parcel.on_its_way(shop, owner=endpoint.owner)

    await parcel.travels("dispatched", "dispatched", copies=3)
    twice_dispatched = (applied("dispatched"), ("webhook", "dispatched", "duplicate", "it is dispatched already"))
    await parcel.until_decided(*twice_dispatched)
    await parcel.travels("delivered", "delivered", copies=3)

    assert await parcel.outcome() is DELIVERED
    await parcel.until_decided(
        *twice_dispatched, applied("delivered"), ("webhook", "delivered", "duplicate", "it is delivered already")
    )
    async with asyncio.timeout(WITHIN_S):
        tracking = await shop.ledger.until_told(parcel.order.id, 4)
    assert [row["sent"] for row in tracking] == [3, 3, 3, 3]
    await receiver.until_got(2)
    assert [kind for kind, _, _ in told(receiver, endpoint)] == ["shipment.dispatched", "shipment.delivered"]


async def test_steps_back_are_received_and_refused(shop: Shop) -> None:
    parcel = await Parcel.on_its_way(shop)
    await parcel.travels("dispatched")
    await parcel.until(DISPATCHED)
    await parcel.travels("booked")
    back = ("webhook", "booked", "refused", "backwards: it is dispatched already")
    await parcel.until_decided(applied("dispatched"), back)
    await parcel.travels("delivered")
    assert await parcel.outcome() is DELIVERED
    arrived = await parcel.booked()

    # The workflow is over: our books decide without it.
    await parcel.travels("dispatched")

    back_again = ("webhook", "dispatched", "refused", "backwards: it is delivered already")
    await parcel.until_decided(applied("dispatched"), back, applied("delivered"), back_again)
    assert await parcel.booked() == arrived
    async with asyncio.timeout(WITHIN_S):
        assert len(await shop.ledger.until_told(parcel.order.id, 4)) == 4


async def test_a_step_that_nobody_knows_is_received_and_refused(shop: Shop) -> None:
    parcel = await Parcel.on_its_way(shop)

    await parcel.travels("teleported")

    unknown = ("webhook", "teleported", "refused", "not a step that we know")
    await parcel.until_decided(unknown)
    assert (await parcel.booked()).status is ShipmentStatus.BOOKED
    await parcel.travels("dispatched", "delivered")
    assert await parcel.outcome() is DELIVERED


async def test_a_forged_step_moves_nothing(shop: Shop, stack: RunningStack) -> None:
    parcel = await Parcel.on_its_way(shop)
    body = encoded(parcel.event("dispatched"))
    secret = Home(stack.home).secrets().carrier_webhook_secret

    async with httpx.AsyncClient(base_url=stack.api_url) as http:
        forged, genuine = [
            await http.post(
                "/v1/inbound/carrier", content=body, headers=standard_headers(signed_with, new_id("evt"), body)
            )
            for signed_with in (OTHER_SECRET, secret)
        ]

    assert (forged.status_code, genuine.status_code) == (401, 200)
    await parcel.until_decided(applied("dispatched"))
    await parcel.tells("delivered")
    assert await parcel.outcome() is DELIVERED
    assert await parcel.signals() == 2
