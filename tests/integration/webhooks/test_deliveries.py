"""What becomes of a delivery: attempts, pauses, ends. The receivers are real, and days are skipped."""

import asyncio
import base64
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import WebhookVerificationError

from contracts.webhooks import Attempt, DeliveryStatus, EndpointStatus
from database.engine import create_engine
from database.webhook_attempts import AttemptRepository, EndpointBusy, Message, Settled
from providers.webhook_signing import new_secret
from tests.endpoints import ShopEndpoint, failed
from tests.shop import WITHIN_S, Shop
from tests.stack_session import RunningStack
from tests.webhooks import answer, hook

SCHEDULE_S = [5, 5 * 60, 30 * 60, *(hours * 60 * 60 for hours in (2, 5, 10, 14, 20, 24))]
JITTER = 1.1


async def test_what_arrives_is_thin_and_verified_by_the_public_library(shop: Shop) -> None:
    async with hook() as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)

        delivery = await (await endpoint.send()).settled()

    [message] = receiver.messages
    payload = message.verified(endpoint.secret)
    assert payload.keys() == {"type", "timestamp", "data"}
    assert payload["data"] == {"id": endpoint.id, "status": "active"}
    assert payload["timestamp"].endswith("Z")
    assert datetime.now(UTC) - datetime.fromisoformat(payload["timestamp"]) < timedelta(seconds=WITHIN_S)
    assert message.headers["content-type"] == "application/json"
    assert message.webhook_id == delivery.webhook_id
    assert (delivery.status, delivery.attempts, delivery.response_status) == (DeliveryStatus.SUCCEEDED, 1, 200)
    assert delivery.error is None
    with pytest.raises(WebhookVerificationError):
        message.verified(new_secret())


# What counts as success, and what follows a failure


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_any_2xx_is_success(shop: Shop, status: int) -> None:
    async with hook(answer(status)) as receiver:
        delivery = await (await (await ShopEndpoint.at(receiver, shop)).send()).settled()

    assert (delivery.status, delivery.response_status) == (DeliveryStatus.SUCCEEDED, status)


@pytest.mark.parametrize("status", [301, 307, 400, 404, 500, 503])
async def test_anything_else_is_a_failure_and_no_redirect_is_followed(shop: Shop, status: int) -> None:
    async with hook() as elsewhere, hook(answer(status, location=elsewhere.url())) as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        delivery = await (await endpoint.send()).attempted()
        await endpoint.delete()

    assert (delivery.status, delivery.response_status) == (DeliveryStatus.PENDING, status)
    assert delivery.error == f"the receiver answered {status}"
    assert elsewhere.messages == []


async def test_no_answer_is_a_failure_told_without_the_url(shop: Shop) -> None:
    async with hook() as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
    delivery = await (await endpoint.send()).attempted()
    await endpoint.delete()

    assert delivery.response_status is None
    assert delivery.error == "the connection failed: Connection refused"


@pytest.mark.outage
async def test_a_receiver_has_twenty_seconds(shop: Shop) -> None:
    async with hook() as receiver:
        receiver.answering.clear()
        endpoint = await ShopEndpoint.at(receiver, shop)
        delivery = await (await endpoint.send()).attempted()
        await endpoint.delete()

    assert delivery.error == "no whole answer within 20 s"
    assert delivery.duration_ms is not None
    assert 19_900 < delivery.duration_ms < 25_000


async def test_a_url_that_is_not_allowed_any_more_is_not_called(shop: Shop) -> None:
    async with hook() as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        await endpoint.alter(url=receiver.url().replace("http://127.77", "http://127.78"))
        delivery = await (await endpoint.send()).attempted()
        await endpoint.delete()

    assert delivery.response_status is None
    assert delivery.error == "url_not_allowed: the URL must start with https://"


async def test_a_second_attempt_follows_five_seconds_after_the_first(shop: Shop) -> None:
    async with hook(answer(500), answer(200)) as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        delivery = await (await endpoint.send()).settled()

    assert (delivery.status, delivery.attempts) == (DeliveryStatus.SUCCEEDED, 2)
    first, second = receiver.messages
    assert timedelta(seconds=5) <= second.at - first.at < timedelta(seconds=8)
    assert (first.webhook_id, first.body) == (second.webhook_id, second.body)
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) >= 5
    second.verified(endpoint.secret)


async def test_ten_attempts_in_three_days_and_then_no_more(shop: Shop) -> None:
    async with hook(answer(500)) as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        delivery = await endpoint.send()

        ended = await delivery.skipped_to_its_end()

    assert (ended.status, ended.attempts, ended.response_status) == (DeliveryStatus.FAILED, 10, 500)
    assert await delivery.outcome() is DeliveryStatus.FAILED
    assert len(receiver.messages) == 10
    assert len({message.webhook_id for message in receiver.messages}) == 1
    for waited, planned in zip(await delivery.pauses_s(), SCHEDULE_S, strict=True):
        assert planned <= waited <= planned * JITTER
    assert (await endpoint.found()).status is EndpointStatus.ACTIVE


async def test_a_pause_that_the_receiver_asks_for_counts_when_it_is_the_longer_one(shop: Shop) -> None:
    answers = (
        answer(429, retry_after="3600"),
        answer(503, retry_after="1"),
        answer(500, retry_after="7200"),
        answer(200),
    )
    async with hook(*answers) as receiver:
        delivery = await (await ShopEndpoint.at(receiver, shop)).send()

        ended = await delivery.skipped_to_its_end()

    assert (ended.status, ended.attempts) == (DeliveryStatus.SUCCEEDED, 4)
    for waited, planned in zip(await delivery.pauses_s(), [3_600, 300, 1_800], strict=True):
        assert planned <= waited <= planned * JITTER


async def test_a_delivery_that_an_operator_cancels_has_failed(shop: Shop) -> None:
    async with hook(answer(500)) as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        delivery = await endpoint.send()
        await delivery.pausing()

        await delivery.handle.cancel()

        assert await delivery.outcome() is DeliveryStatus.FAILED
        ended = await delivery.listed()
        assert (ended.status, ended.attempts, ended.error) == (DeliveryStatus.FAILED, 1, "cancelled")


# One endpoint and the others


async def test_ten_attempts_at_most_are_under_way_to_an_endpoint_and_others_do_not_wait(shop: Shop) -> None:
    async with hook() as hanging, hook() as well:
        hanging.answering.clear()
        dead, alive = await ShopEndpoint.at(hanging, shop), await ShopEndpoint.at(well, shop)
        waiting = [await dead.send() for _ in range(40)]
        await hanging.until(lambda messages: len(messages) >= 10)

        begun = asyncio.get_running_loop().time()
        for _ in range(5):
            await (await alive.send()).settled()
        took_s = asyncio.get_running_loop().time() - begun
        await asyncio.sleep(1)
        assert len(hanging.messages) == 10
        hanging.answering.set()
        settled = await asyncio.gather(*(delivery.settled() for delivery in waiting))

    assert took_s < 5
    assert hanging.most_in_flight == 10
    assert [(one.status, one.attempts) for one in settled] == [(DeliveryStatus.SUCCEEDED, 1)] * 40


async def test_two_workers_have_ten_places_between_them(shop: Shop, stack: RunningStack) -> None:
    other = create_engine(stack.database_url, connections=10, application_name="test")
    workers = [AttemptRepository(shop.engine), AttemptRepository(other)]
    async with hook() as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        begun = [await endpoint.begin() for _ in range(30)]

        got = await asyncio.gather(
            *(
                workers[number % 2].begin(Attempt(delivery_id=delivery.id, number=1, is_last=False))
                for number, delivery in enumerate(begun)
            ),
            return_exceptions=True,
        )

    await other.dispose()
    assert Counter(type(one) for one in got) == {Message: 10, EndpointBusy: 20}, got


async def test_an_attempt_that_was_lost_with_its_worker_keeps_its_place(shop: Shop) -> None:
    attempts = AttemptRepository(shop.engine)
    async with hook() as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        delivery = await endpoint.begin()
        attempt = Attempt(delivery_id=delivery.id, number=1, is_last=False)

        # Begun by a worker that was killed, and by the next ones: it never fills all ten places by itself.
        for _ in range(12):
            assert isinstance(await attempts.begin(attempt), Message)


async def test_an_attempt_that_was_recorded_is_not_made_again(shop: Shop) -> None:
    attempts = AttemptRepository(shop.engine)
    async with hook() as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        delivery = await endpoint.begin()
        attempt = Attempt(delivery_id=delivery.id, number=1, is_last=False)
        failure = replace(failed(receiver), response_status=429, retry_after_s=3_600.0)

        for _ in range(2):
            assert await attempts.record(attempt, failure) is DeliveryStatus.PENDING

        # With the pause that was asked for: the worker may be killed before its workflow hears of it.
        assert await attempts.begin(attempt) == Settled(DeliveryStatus.PENDING, 429, 3_600.0)
        assert (await delivery.listed()).attempts == 1
        assert isinstance(await attempts.begin(Attempt(delivery_id=delivery.id, number=2, is_last=False)), Message)


# Secrets


async def test_the_old_secret_signs_for_a_day_after_a_rotation(shop: Shop) -> None:
    async with hook() as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        fresh = new_secret()
        await endpoint.repository.rotate(endpoint.id, fresh)
        await (await endpoint.send()).settled()
        an_hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        await endpoint.alter(
            secrets=[
                {"secret": fresh, "expires_at": None},
                {"secret": endpoint.secret, "expires_at": an_hour_ago},
            ]
        )
        await (await endpoint.send()).settled()

    during, after = receiver.messages
    for secret in (fresh, endpoint.secret):
        during.verified(secret)
    after.verified(fresh)
    with pytest.raises(WebhookVerificationError):
        after.verified(endpoint.secret)


async def test_no_history_holds_a_url_a_secret_or_a_body(shop: Shop) -> None:
    async with hook(answer(500), answer(200)) as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        delivery = await endpoint.send()
        await delivery.settled()

    texts = _texts(json.loads((await delivery.history()).to_json()))
    assert any(delivery.id in text for text in texts)
    address, _, port = receiver.host.partition(":")
    body = receiver.messages[0].body.decode()
    for kept_out in (address, f":{port}", "/hooks", endpoint.secret, body, '"timestamp"'):
        assert not [text for text in texts if kept_out in text], kept_out


def _texts(found: object) -> list[str]:
    """Every text of a history, payloads decoded."""
    match found:
        case {"data": str(data), "metadata": _}:
            return [base64.b64decode(data).decode()]
        case dict():
            return [text for value in found.values() for text in _texts(value)]
        case list():
            return [text for value in found for text in _texts(value)]
        case str():
            return [found]
    return []
