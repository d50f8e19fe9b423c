"""Endpoints that nothing is sent to any more: gone, failing for days, or deleted."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from contracts.webhooks import Attempt, DeliveryStatus, DisabledReason, EndpointStatus
from database.tables import webhook_endpoints
from database.webhook_attempts import AttemptRepository
from tests.accounts import NewAccount
from tests.endpoints import ShopEndpoint, failed
from tests.shop import Shop
from tests.webhooks import answer, hook


async def test_410_disables_the_endpoint_and_ends_what_waits_for_it(shop: Shop) -> None:
    async with hook(answer(500), answer(410)) as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        waiting = await endpoint.send()
        await waiting.attempted()
        gone = await (await endpoint.send()).settled()
        ended = await waiting.skipped_to_its_end()

    assert (gone.status, gone.attempts, gone.response_status) == (DeliveryStatus.FAILED, 1, 410)
    found = await endpoint.found()
    assert (found.status, found.disabled_reason) == (EndpointStatus.DISABLED, DisabledReason.GONE)
    assert (ended.status, ended.attempts, ended.error) == (DeliveryStatus.FAILED, 1, "the endpoint is disabled")
    assert len(receiver.messages) == 2


async def test_a_deleted_endpoint_ends_what_waits_for_it(shop: Shop) -> None:
    async with hook(answer(500)) as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        delivery = await endpoint.send()
        await delivery.attempted()
        await endpoint.delete()

        assert await delivery.outcome() is DeliveryStatus.FAILED

    assert len(receiver.messages) == 1


async def test_an_endpoint_that_failed_for_five_days_is_disabled_and_its_owner_mailed(shop: Shop) -> None:
    account = await NewAccount.signed_up(shop)
    await account.until_mails("welcome")
    await account.confirm()
    async with hook(answer(500)) as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop, owner=account.id)
        await (await endpoint.send()).attempted()
        assert (await endpoint.found()).status is EndpointStatus.ACTIVE

        await endpoint.alter(failing_since=datetime.now(UTC) - timedelta(days=5))
        await (await endpoint.send()).attempted()

    found = await endpoint.found()
    assert (found.status, found.disabled_reason) == (EndpointStatus.DISABLED, DisabledReason.FAILING)
    mails = await account.until_mails("welcome", "endpoint_disabled")
    assert "disabled" in mails[-1]["subject"]


async def test_a_success_in_between_ends_the_failing(shop: Shop) -> None:
    async with hook(answer(200), answer(500)) as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        await endpoint.alter(failing_since=datetime.now(UTC) - timedelta(days=6))
        await (await endpoint.send()).settled()
        await (await endpoint.send()).attempted()

        assert (await endpoint.found()).status is EndpointStatus.ACTIVE
        await endpoint.delete()


async def test_an_endpoint_made_active_again_begins_afresh(shop: Shop) -> None:
    async with hook(answer(500)) as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        long_ago = datetime.now(UTC) - timedelta(days=6)
        await endpoint.alter(failing_since=long_ago, status="disabled", disabled_reason="failing")

        await endpoint.repository.change(endpoint.id, {"status": EndpointStatus.ACTIVE})
        await (await endpoint.send()).attempted()

        assert (await endpoint.found()).status is EndpointStatus.ACTIVE
        await endpoint.delete()


async def test_an_endpoint_with_another_url_begins_afresh(shop: Shop) -> None:
    async with hook(answer(500)) as before, hook(answer(500)) as after:
        endpoint = await ShopEndpoint.at(before, shop)
        await (await endpoint.send()).attempted()
        await endpoint.alter(failing_since=datetime.now(UTC) - timedelta(days=6))

        await endpoint.repository.change(endpoint.id, {"url": after.url()})
        await (await endpoint.send()).attempted()

        assert (await endpoint.found()).status is EndpointStatus.ACTIVE
        await endpoint.delete()


async def test_two_failures_days_apart_are_not_days_of_failing(shop: Shop) -> None:
    async with hook(answer(500)) as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        await (await endpoint.send()).attempted()
        long_ago = datetime.now(UTC) - timedelta(days=6)
        await endpoint.alter(failing_since=long_ago, last_failed_at=long_ago)

        await (await endpoint.send()).attempted()

        assert (await endpoint.found()).status is EndpointStatus.ACTIVE
        await endpoint.delete()


@pytest.mark.parametrize("late", [{"gone": True, "response_status": 410}, {}, {"succeeded": True}], ids=str)
async def test_what_the_url_of_before_answers_late_says_nothing_of_the_one_of_now(
    shop: Shop, late: dict[str, Any]
) -> None:
    attempts = AttemptRepository(shop.engine)
    long_ago = datetime.now(UTC) - timedelta(days=6)
    async with hook() as before, hook() as now:
        endpoint = await ShopEndpoint.at(before, shop)
        delivery = await endpoint.begin()
        await endpoint.alter(url=now.url(), failing_since=long_ago)

        await attempts.record(
            Attempt(delivery_id=delivery.id, number=1, is_last=False), replace(failed(before), **late)
        )

        assert (await endpoint.found()).status is EndpointStatus.ACTIVE
        async with shop.engine.connect() as connection:
            since = select(webhook_endpoints.c.failing_since).where(webhook_endpoints.c.id == endpoint.id)
            assert await connection.scalar(since) == long_ago


async def test_an_endpoint_can_be_deleted_while_its_attempts_are_recorded(shop: Shop) -> None:
    attempts = AttemptRepository(shop.engine)
    for _ in range(20):
        async with hook() as receiver:
            endpoint = await ShopEndpoint.at(receiver, shop)
            begun = [await endpoint.begin() for _ in range(6)]
            recording = [
                attempts.record(Attempt(delivery_id=delivery.id, number=1, is_last=False), failed(receiver))
                for delivery in begun
            ]

            await asyncio.gather(*recording[:3], endpoint.delete(), *recording[3:])
