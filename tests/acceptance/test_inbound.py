"""Providers' webhooks: whoever cannot sign is turned away and counted, and the rest is kept once."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from stack.home import Home
from tests.acceptance.client import assert_problem
from tests.inbound_events import (
    dispute,
    encoded,
    new_id,
    payment_event,
    shipment_event,
    standard_headers,
    stripe_headers,
)
from tests.stack_session import RunningStack

OTHER_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
COUNTED = re.compile(
    r'^followthrough_inbound_webhooks_total\{outcome="(\w+)",provider="(\w+)"\} ([0-9.e+]+)$', re.MULTILINE
)
PROVIDERS = ("payments", "carrier")
STALE_S = 6 * 60


class Provider:
    """A provider that knows how to sign; `sign` makes the headers of a body."""

    def __init__(self, http: httpx.AsyncClient, name: str, sign: Callable[..., dict[str, str]], metrics: str) -> None:
        self.name = name
        self.sign = sign
        self._http = http
        self._metrics = metrics

    async def sends(self, body: bytes | AsyncIterator[bytes], headers: dict[str, str]) -> httpx.Response:
        return await self._http.post(f"/v1/inbound/{self.name}", content=body, headers=headers)

    async def tells(self, event: dict[str, Any]) -> httpx.Response:
        body = encoded(event)
        return await self.sends(body, self.sign(body))

    def an_event(self) -> dict[str, Any]:
        if self.name == "carrier":
            return shipment_event()
        return payment_event("customer.created", {"id": "cus_1", "object": "customer"})

    async def counted(self) -> dict[str, float]:
        """How many of its webhooks were accepted, duplicate and forged so far."""
        shown = (await self._http.get(self._metrics)).text
        return {outcome: float(count) for outcome, name, count in COUNTED.findall(shown) if name == self.name}


@pytest.fixture
def providers(http: httpx.AsyncClient, stack: RunningStack) -> dict[str, Provider]:
    secrets = Home(stack.home).secrets()

    def by_stripe(body: bytes, *, secret: str = secrets.payments_webhook_secret, **options: Any) -> dict[str, str]:
        return stripe_headers(secret, body, **options)

    def by_the_standard(
        body: bytes, *, secret: str = secrets.carrier_webhook_secret, message_id: str | None = None, **options: Any
    ) -> dict[str, str]:
        return standard_headers(secret, message_id or new_id("msg"), body, **options)

    metrics = stack.metrics["api"]
    return {
        "payments": Provider(http, "payments", by_stripe, metrics),
        "carrier": Provider(http, "carrier", by_the_standard, metrics),
    }


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest, providers: dict[str, Provider]) -> Provider:
    return providers[request.param]


@pytest.fixture
def payments(providers: dict[str, Provider]) -> Provider:
    return providers["payments"]


def assert_received(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()) == (200, {"received": True}), answer.text


async def test_a_signed_event_is_received(provider: Provider) -> None:
    before = await provider.counted()

    assert_received(await provider.tells(provider.an_event()))

    assert await provider.counted() == {**before, "accepted": before["accepted"] + 1}


async def test_an_event_that_is_sent_again_is_a_duplicate(provider: Provider) -> None:
    body = encoded(provider.an_event())
    headers = provider.sign(body)
    before = await provider.counted()

    answers = await asyncio.gather(*(provider.sends(body, headers) for _ in range(10)))

    for answer in answers:
        assert_received(answer)
    after = await provider.counted()
    assert after["accepted"] - before["accepted"] == 1
    assert after["duplicate"] - before["duplicate"] == 9


async def test_a_duplicate_is_known_by_its_id_whatever_else_it_says(payments: Provider) -> None:
    event = payment_event("charge.dispute.created", dispute())
    assert_received(await payments.tells(event))
    before = await payments.counted()

    assert_received(await payments.tells({**event, "type": "customer.created"}))

    assert await payments.counted() == {**before, "duplicate": before["duplicate"] + 1}


async def test_a_forged_event_is_turned_away_and_counted(provider: Provider) -> None:
    body = encoded(provider.an_event())
    before = await provider.counted()
    signed = provider.sign(body)
    forgeries = [
        (body, {}),
        (body, provider.sign(body, secret=OTHER_SECRET)),
        (body, provider.sign(body, at=time.time() - STALE_S)),
        (body, provider.sign(body, at=time.time() + STALE_S)),
        (body + b" ", signed),
        (b"", signed),
        (b"\xff\xfe", signed),
        (body, dict.fromkeys(signed, "garbage")),
        (body, {"Authorization": "Bearer garbage"}),
    ]

    for forged, headers in forgeries:
        answer = await provider.sends(forged, headers)
        assert_problem(answer, 401, "signature_invalid")
        assert "whsec" not in answer.text

    assert await provider.counted() == {**before, "forged": before["forged"] + len(forgeries)}


async def test_one_provider_cannot_sign_for_the_other(providers: dict[str, Provider]) -> None:
    payments, carrier = (providers[name] for name in PROVIDERS)
    body = encoded(payments.an_event())

    assert_problem(await payments.sends(body, carrier.sign(body)), 401, "signature_invalid")
    assert_problem(await carrier.sends(body, payments.sign(body)), 401, "signature_invalid")


async def test_an_event_of_a_type_that_nobody_knows_is_received(provider: Provider) -> None:
    assert_received(await provider.tells({**provider.an_event(), "type": "moon.risen", "data": None}))


@pytest.mark.parametrize(
    "body",
    [b"", b'{"id": "evt_1", ', b"id=evt_1", b"[" * 20_000, b'{"id": "a\x00", "type": "b"}', b"\xef\xbb\xbf{}"],
    ids=lambda body: repr(body[:20]),
)
async def test_what_is_signed_and_no_json_is_refused(provider: Provider, body: bytes) -> None:
    assert_problem(await provider.sends(body, provider.sign(body)), 400, "invalid_json")


async def test_what_is_signed_and_not_in_utf8_is_refused(payments: Provider) -> None:
    body = b'{"id": "evt_1", "type": "a", "note": "\xff"}'

    assert_problem(await payments.sends(body, payments.sign(body)), 400, "invalid_json")


@pytest.mark.parametrize(
    "change",
    [{"type": None}, {"type": ""}, {"type": 1}, {"type": "a\x00b"}, {"type": "x" * 300}, {"type": "schlüssel"}],
    ids=str,
)
async def test_an_event_needs_a_type(provider: Provider, change: dict[str, Any]) -> None:
    problem = assert_problem(await provider.tells({**provider.an_event(), **change}), 422, "invalid_request")

    assert [error["field"] for error in problem["errors"]] == ["type"]


@pytest.mark.parametrize("event_id", [None, "", 1, "evt\x00", "evt 1", "evt_1\n", "x" * 300], ids=str)
async def test_a_payment_event_needs_an_id(payments: Provider, event_id: Any) -> None:
    problem = assert_problem(await payments.tells({**payments.an_event(), "id": event_id}), 422, "invalid_request")

    assert [error["field"] for error in problem["errors"]] == ["id"]


async def test_the_id_of_a_carriers_event_is_in_its_header(providers: dict[str, Provider]) -> None:
    carrier = providers["carrier"]
    body = encoded(carrier.an_event())

    answer = await carrier.sends(body, carrier.sign(body, message_id="two words"))

    problem = assert_problem(answer, 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == ["webhook-id"]


@pytest.mark.parametrize("body", [b"null", b"[]", b"1", b'"evt_1"', b"{}"], ids=repr)
async def test_what_is_signed_and_no_event_is_refused(provider: Provider, body: bytes) -> None:
    assert_problem(await provider.sends(body, provider.sign(body)), 422, "invalid_request")


async def test_whatever_else_an_event_holds_is_kept(payments: Provider) -> None:
    odd = {"nul": "\x00", "number": 10**400, "nested": json.loads("[" * 50 + "]" * 50), "emoji": "\U0001f600"}

    assert_received(await payments.tells({**payments.an_event(), "data": {"object": odd}}))


async def test_a_body_of_300_kib_is_too_large_signed_or_not(provider: Provider) -> None:
    body = encoded({**provider.an_event(), "padding": "x" * 300 * 1_024})

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1_024):
            yield body[start : start + 1_024]

    assert_problem(await provider.sends(body, provider.sign(body)), 413, "request_too_large")
    assert_problem(await provider.sends(chunks(), provider.sign(body)), 413, "request_too_large")


async def test_there_is_nothing_else_below_inbound(http: httpx.AsyncClient) -> None:
    assert_problem(await http.get("/v1/inbound/payments"), 405, "method_not_allowed")
    assert_problem(await http.post("/v1/inbound/nobody"), 404, "not_found")
