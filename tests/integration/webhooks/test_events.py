"""Which events reach whom: those of committed changes, each once for every endpoint that wants it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from activities.webhook_fan_out import WebhookFanOut
from activities.webhook_receivers import SystemReceiver, keep_receivers
from contracts.ids import receiver_endpoint_id
from contracts.orders import FINAL_STATUSES, EventType, OrderStatus
from contracts.outbox import OutboxKind, OutboxRow
from contracts.webhooks import TOLD_OF_ORDERS, DeliveryStatus, EndpointStatus
from database.books import Books
from database.webhook_deliveries import DeliveryRepository
from database.webhook_endpoints import EndpointRepository
from providers.webhook_signing import new_secret
from tests.accounts import NewAccount
from tests.endpoints import OneDelivery, ShopEndpoint
from tests.shop import Shop, ShopOrder
from tests.webhooks import Hook, Message, hook

LARGE = 60_000
COMPLETED = [
    ("order.accepted", "accepted"),
    ("order.completed", "completed"),
    ("shipment.shipped", "shipped"),
]


async def ordered_by(customer: str, shop: Shop, **terms: Any) -> ShopOrder:
    """An order of this customer, not placed yet."""
    placed = (await shop.order(**terms)).placed
    return ShopOrder(shop, placed.model_copy(update={"customer_id": customer}))


def told(messages: list[Message], endpoint: ShopEndpoint, subject_id: str) -> list[tuple[str, str]]:
    """Type and status of what was told of this order and its parcels, or account; deliveries come in any order."""
    payloads = [message.verified(endpoint.secret) for message in messages]
    return sorted(
        (payload["type"], payload["data"]["status"])
        for payload in payloads
        if payload["data"]["id"].partition("-")[0] == subject_id
    )


async def until_told(receiver: Hook, endpoint: ShopEndpoint, subject_id: str, expected: list[tuple[str, str]]) -> None:
    messages = await receiver.until(lambda messages: len(told(messages, endpoint, subject_id)) >= len(expected))
    assert told(messages, endpoint, subject_id) == sorted(expected)


@pytest.fixture
async def receiver() -> AsyncIterator[Hook]:
    async with hook() as opened:
        yield opened


async def test_an_order_is_told_to_its_owner_and_nobody_else(shop: Shop, receiver: Hook) -> None:
    async with hook() as others:
        own, anothers = await ShopEndpoint.at(receiver, shop), await ShopEndpoint.at(others, shop)
        order = await ordered_by(str(own.owner), shop)
        await order.start()

        await until_told(receiver, own, order.id, COMPLETED)

        await (await anothers.send()).settled()
        assert [message.verified(anothers.secret)["type"] for message in others.messages] == ["webhook.test"]


async def test_the_time_is_the_events_own(shop: Shop, receiver: Hook) -> None:
    endpoint = await ShopEndpoint.at(receiver, shop, "order.completed")
    order = await ordered_by(str(endpoint.owner), shop)
    await order.start()
    [message] = await receiver.until_got(1)

    completed = (await order.settled()).timeline[-1]
    assert datetime.fromisoformat(message.verified(endpoint.secret)["timestamp"]) == completed.at


async def test_an_order_that_goes_back_is_told_step_by_step(shop: Shop, receiver: Hook) -> None:
    endpoint = await ShopEndpoint.at(receiver, shop, "order.*", "shipment.*")
    order = await ordered_by(str(endpoint.owner), shop)
    await order.meets("ship", "decline")
    await order.start()

    await until_told(
        receiver,
        endpoint,
        order.id,
        [("order.accepted", "accepted"), ("order.refunded", "processing"), ("order.rejected", "rejected")],
    )


async def test_each_parcel_is_told_by_its_own_id_and_how_the_order_ended(shop: Shop, receiver: Hook) -> None:
    endpoint = await ShopEndpoint.at(receiver, shop)
    order = await ordered_by(str(endpoint.owner), shop, on_hand={"wh_a": 1, "wh_b": 1, "wh_c": 1}, quantity=3)
    await order.meets("ship", "decline", fulfilment=2)
    await order.start()

    messages = await receiver.until_got(5)

    data = [message.verified(endpoint.secret) for message in messages]
    assert sorted((one["type"], one["data"]["id"], one["data"]["status"]) for one in data) == [
        ("order.accepted", order.id, "accepted"),
        ("order.partially_completed", order.id, "partially_completed"),
        ("order.refunded", order.id, "processing"),
        ("shipment.shipped", f"{order.id}-1", "shipped"),
        ("shipment.shipped", f"{order.id}-3", "shipped"),
    ]


def test_every_final_status_is_told() -> None:
    assert {TOLD_OF_ORDERS[EventType(status.value)].value for status in FINAL_STATUSES} == {
        f"order.{status.value}" for status in FINAL_STATUSES
    }


async def test_an_order_that_needs_attention_is_told(shop: Shop, receiver: Hook) -> None:
    endpoint = await ShopEndpoint.at(receiver, shop, "order.needs_attention")
    order = await ordered_by(str(endpoint.owner), shop, retry_window_s=2)
    await order.meets("charge", "rate_limit", times=None, delay_s=30)
    await order.start()

    await until_told(receiver, endpoint, order.id, [("order.needs_attention", "needs_attention")])
    await shop.ledger.behave()
    await order.retry()


async def test_a_cancelled_order_is_told(shop: Shop, receiver: Hook) -> None:
    endpoint = await ShopEndpoint.at(receiver, shop)
    order = await ordered_by(str(endpoint.owner), shop, amount=LARGE)
    await order.start()
    await order.until(OrderStatus.AWAITING_APPROVAL)

    await order.cancel()

    expected = [("order.accepted", "accepted"), ("order.cancelled", "cancelled")]
    await until_told(receiver, endpoint, order.id, expected)


async def test_an_endpoint_hears_what_it_asked_for(shop: Shop, receiver: Hook) -> None:
    async with hook() as other:
        shipments = await ShopEndpoint.at(receiver, shop, "shipment.*", "account.confirmed")
        completed = await ShopEndpoint.at(other, shop, "order.completed", owner=shipments.owner)
        order = await ordered_by(str(shipments.owner), shop)
        await order.start()

        await until_told(other, completed, order.id, [("order.completed", "completed")])
        await until_told(receiver, shipments, order.id, [("shipment.shipped", "shipped")])


async def test_a_disabled_endpoint_hears_nothing(shop: Shop, receiver: Hook) -> None:
    async with hook() as other:
        disabled = await ShopEndpoint.at(receiver, shop)
        await disabled.repository.change(disabled.id, {"status": EndpointStatus.DISABLED})
        active = await ShopEndpoint.at(other, shop, owner=disabled.owner)
        order = await ordered_by(str(active.owner), shop)
        await order.start()
        await until_told(other, active, order.id, COMPLETED)

    assert receiver.messages == []
    assert await disabled.deliveries.list(disabled.id, after=None, limit=1) == []


async def test_nothing_is_told_of_a_change_that_was_rolled_back(shop: Shop, receiver: Hook) -> None:
    endpoint = await ShopEndpoint.at(receiver, shop)
    order = await ordered_by(str(endpoint.owner), shop, amount=LARGE)
    await order.start()
    await order.until(OrderStatus.AWAITING_APPROVAL)
    await until_told(receiver, endpoint, order.id, [("order.accepted", "accepted")])

    with pytest.raises(ZeroDivisionError):
        await book_and_fail(Books(shop.engine), order)

    await order.decide(approved=False)
    await until_told(receiver, endpoint, order.id, [("order.accepted", "accepted"), ("order.rejected", "rejected")])


async def book_and_fail(books: Books, order: ShopOrder) -> None:
    async with books.order(order.id) as opened:
        opened.note(EventType.REFUNDED, datetime.now(UTC), "never")
        await books.write(opened)
        raise ZeroDivisionError


async def test_a_confirmed_account_is_told_to_its_own_endpoint(shop: Shop, receiver: Hook) -> None:
    account = await NewAccount.signed_up(shop)
    endpoint = await ShopEndpoint.at(receiver, shop, "account.confirmed", owner=account.id)

    for _ in range(2):
        await account.confirm()
    await account.outcome()

    await until_told(receiver, endpoint, account.id, [("account.confirmed", "confirmed")])


async def test_an_accounts_endpoints_are_erased_with_it(shop: Shop, receiver: Hook) -> None:
    account = await NewAccount.signed_up(shop)
    endpoint = await ShopEndpoint.at(receiver, shop, owner=account.id)

    await account.repository.delete(account.id)

    assert await endpoint.repository.find(endpoint.id) is None


async def test_the_systems_endpoints_hear_of_every_customer(shop: Shop, receiver: Hook) -> None:
    endpoint = await ShopEndpoint.at(receiver, shop, "order.completed", of_system=True)
    try:
        for _ in range(2):
            order = await ordered_by(f"customer-{uuid4().hex}", shop)
            await order.start()
            await until_told(receiver, endpoint, order.id, [("order.completed", "completed")])
    finally:
        await endpoint.delete()


async def test_a_receiver_that_the_deployment_configures_hears_of_every_order(shop: Shop, receiver: Hook) -> None:
    name, secret = f"warehouse-{uuid4().hex}", new_secret()
    endpoints = EndpointRepository(shop.engine)
    configured = SystemReceiver(name, receiver.url(), secret)
    endpoint = ShopEndpoint(shop, receiver_endpoint_id(name), None, secret)
    try:
        # Every worker does this when it starts.
        for _ in range(3):
            await keep_receivers(endpoints, [SystemReceiver(name, "http://127.79.0.1/old", new_secret()), configured])
        found = await endpoint.found()
        assert (found.owner, found.url, found.description) == (None, receiver.url(), name)
        assert found.event_types == ("order.*",)

        order = await ordered_by(f"customer-{uuid4().hex}", shop)
        await order.start()
        expected = [("order.accepted", "accepted"), ("order.completed", "completed")]
        await until_told(receiver, endpoint, order.id, expected)

        await endpoints.change(endpoint.id, {"event_types": ["order.cancelled"]})
        await keep_receivers(endpoints, [configured])
        kept = await endpoint.found()
        assert kept.event_types == ("order.cancelled",)
    finally:
        await endpoint.delete()


async def test_warehouse_and_analytics_both_hear_of_every_order_each_with_its_own_secret(
    shop: Shop, receiver: Hook
) -> None:
    endpoints = EndpointRepository(shop.engine)
    expected = [("order.accepted", "accepted"), ("order.completed", "completed")]
    async with hook() as other:
        configured = [
            SystemReceiver(f"{name}-{uuid4().hex}", at.url(), new_secret())
            for name, at in (("warehouse", receiver), ("analytics", other))
        ]
        await keep_receivers(endpoints, configured)
        warehouse, analytics = (
            ShopEndpoint(shop, receiver_endpoint_id(one.name), None, one.secret) for one in configured
        )
        try:
            order = await ordered_by(f"customer-{uuid4().hex}", shop)
            await order.start()
            await until_told(receiver, warehouse, order.id, expected)
            await until_told(other, analytics, order.id, expected)
        finally:
            await warehouse.delete()
            await analytics.delete()


async def test_an_event_that_is_handled_twice_is_delivered_once(shop: Shop, receiver: Hook) -> None:
    """The relay was killed after the deliveries were begun, or before they all were."""
    endpoint = await ShopEndpoint.at(receiver, shop)
    fan_out = WebhookFanOut(shop.client, DeliveryRepository(shop.engine))
    payload = endpoint.event().model_dump(mode="json")
    number = uuid4().int % 10**15 + 10**15  # far beyond the outbox's own
    row = OutboxRow(
        id=number, aggregate="events/x", kind=OutboxKind.EVENT, payload=payload, created_at=datetime.now(UTC)
    )
    # Written down, and not begun.
    [written] = await endpoint.deliveries.fan_out(endpoint.event(), f"outbox/{number}")

    for _ in range(3):
        await fan_out.event(row)
    await OneDelivery(endpoint, written.id).settled()
    await fan_out.event(row)
    await (await endpoint.send()).settled()

    assert len(receiver.messages) == 2
    deliveries = await endpoint.deliveries.list(endpoint.id, after=None, limit=10)
    assert [delivery.status for delivery in deliveries] == [DeliveryStatus.SUCCEEDED] * 2
    assert deliveries[-1].id == written.id
