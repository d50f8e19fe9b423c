"""The codec server: who may have payloads decrypted, and from where."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from google.protobuf.json_format import MessageToDict
from temporalio.contrib.pydantic import pydantic_data_converter

from api.codec import AT_ONCE
from payloads import data_converter
from tests.unit.api.conftest import Sign, client_of, running_app

KEY = bytes(range(32))
WEB_UI, LOCAL_WEB_UI = "https://temporal.example.com", "http://127.0.0.1:8233"
ELSEWHERE = "https://temporal.example.com.evil.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-namespace"}


@pytest.fixture(scope="module")
async def app(jwks: Path) -> AsyncIterator[FastAPI]:
    """One that encrypts, with two Web UIs: in the open, and on this machine."""
    keys = f"one={base64.b64encode(KEY).decode()}"
    variables = {"FOLLOWTHROUGH_PAYLOAD_KEYS": keys, "FOLLOWTHROUGH_CODEC_ORIGINS": f"{WEB_UI},{LOCAL_WEB_UI}"}
    async with running_app(jwks, **variables) as created:
        yield created


def bearer(sign: Sign, scope: str = "operator") -> dict[str, str]:
    return {"Authorization": f"Bearer {sign(scope)}", "X-Namespace": "followthrough"}


async def encrypted(value: Any, key: bytes = KEY, key_id: str = "one") -> dict[str, Any]:
    [payload] = await data_converter({key_id: key}).encode([value])
    return MessageToDict(payload)


async def plain(value: Any) -> dict[str, Any]:
    [payload] = await pydantic_data_converter.encode([value])
    return MessageToDict(payload)


def cors(answer: httpx.Response) -> list[str]:
    return [name for name in answer.headers if name.startswith("access-control-")]


async def test_an_operator_has_payloads_decrypted_and_what_is_plain_or_unreadable_comes_back(
    http: httpx.AsyncClient, sign: Sign
) -> None:
    unreadable = await encrypted("another's", b"k" * 32, "another")
    sent = [await encrypted({"city": "Oslo"}), await plain("as it is"), unreadable]

    answer = await http.post("/codec/decode", json={"payloads": sent}, headers=bearer(sign))

    assert answer.status_code == 200, answer.text
    assert answer.json() == {"payloads": [await plain({"city": "Oslo"}), await plain("as it is"), unreadable]}


async def test_what_is_encoded_is_encrypted_and_decodes_again(http: httpx.AsyncClient, sign: Sign) -> None:
    given = {"payloads": [await plain("approve")]}

    encoded = (await http.post("/codec/encode", json=given, headers=bearer(sign))).json()
    decoded = (await http.post("/codec/decode", json=encoded, headers=bearer(sign))).json()

    assert base64.b64decode(encoded["payloads"][0]["metadata"]["encoding"]) == b"binary/encrypted"
    assert decoded == given


@pytest.mark.parametrize("path", ["/codec/decode", "/codec/encode"])
async def test_it_is_for_operators_alone(http: httpx.AsyncClient, sign: Sign, path: str) -> None:
    body = {"payloads": [await encrypted("secret")]}

    without = await http.post(path, json=body)
    customer = await http.post(path, json=body, headers=bearer(sign, "orders:write"))

    assert (without.status_code, without.json()["code"]) == (401, "unauthenticated")
    assert (customer.status_code, customer.json()["code"]) == (403, "forbidden")


async def test_the_web_ui_asks_beforehand_and_may_read_every_answer(http: httpx.AsyncClient, sign: Sign) -> None:
    preflight = await http.options("/codec/decode", headers={"Origin": WEB_UI, **PREFLIGHT})
    answers = [
        await http.post("/codec/decode", json={"payloads": []}, headers={"Origin": WEB_UI, **bearer(sign)}),
        await http.post("/codec/decode", json={"payloads": []}, headers={"Origin": WEB_UI}),
        await http.post("/codec/decode", json={}, headers={"Origin": WEB_UI, **bearer(sign)}),
    ]

    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-methods"] == "POST"
    allowed = preflight.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type", "x-namespace"} == set(allowed)
    assert [answer.status_code for answer in answers] == [200, 401, 422]
    for answer in (preflight, *answers):
        assert answer.headers["access-control-allow-origin"] == WEB_UI
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "Origin" in answer.headers["vary"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("origin", [ELSEWHERE, "null", "http://temporal.example.com", "*"])
async def test_no_other_origin_may_read_an_answer(http: httpx.AsyncClient, sign: Sign, origin: str) -> None:
    preflight = await http.options("/codec/decode", headers={"Origin": origin, **PREFLIGHT})
    answer = await http.post("/codec/decode", json={"payloads": []}, headers={"Origin": origin, **bearer(sign)})

    assert preflight.status_code == 401
    assert cors(preflight) == cors(answer) == []


async def test_only_the_codec_server_is_shared_with_the_web_ui(http: httpx.AsyncClient, sign: Sign) -> None:
    for path in ("/v1/catalogue", "/livez", "/codec", "/shop/sign-in"):
        assert cors(await http.get(path, headers={"Origin": WEB_UI, **bearer(sign)})) == [], path
    assert cors(await http.options("/v1/orders", headers={"Origin": WEB_UI, **PREFLIGHT})) == []


async def test_a_session_counts_when_the_web_ui_asks_and_only_then(app: FastAPI, sign: Sign) -> None:
    async with client_of(app) as browser:
        browser.base_url = httpx.URL("http://127.0.0.1:8000")

        async def signed_in(scope: str) -> None:
            form = await browser.get("/shop/sign-in")
            csrf = re.search(r'name="csrf" value="([^"]+)"', form.text)
            assert csrf is not None
            answer = await browser.post(
                "/shop/sign-in",
                data={"csrf": csrf[1], "token": sign(scope)},
                headers={"Sec-Fetch-Site": "same-origin"},
            )
            assert answer.status_code == 303

        async def decoded(**headers: str) -> int:
            return (await browser.post("/codec/decode", json={"payloads": []}, headers=headers)).status_code

        assert await decoded(Origin=LOCAL_WEB_UI) == 401, "a visitor's session is no sign-in"
        await signed_in("operator orders:read")
        assert await decoded(Origin=LOCAL_WEB_UI) == 200
        assert await decoded(Origin="http://localhost:9999") == 401
        assert await decoded() == 401
        assert await decoded(Origin=LOCAL_WEB_UI, Authorization="Bearer made-up") == 401
        await signed_in("orders:write")
        assert await decoded(Origin=LOCAL_WEB_UI) == 403


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'{"payloads": {}}',
        b'{"payloads": ["x"]}',
        b'{"payloads": [{"data": ["<SENT>"]}]}',
        b'{"payloads": [{"metadata": 7}]}',
        b'{"payloads": [' + b"{}," * 10_000 + b"{}]}",
        b"{",
    ],
    ids=lambda body: body[:40].decode(),
)
async def test_what_is_no_payload_is_refused_and_not_repeated(http: httpx.AsyncClient, sign: Sign, body: bytes) -> None:
    headers = {**bearer(sign), "Content-Type": "application/json"}

    answer = await http.post("/codec/decode", content=body, headers=headers)

    assert answer.status_code == 422 or answer.json()["code"] == "invalid_json", answer.text
    assert "<SENT>" not in answer.text


async def test_others_are_served_while_many_payloads_are_decrypted(http: httpx.AsyncClient, sign: Sign) -> None:
    payload, turns = await encrypted("hello"), 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count_turns())
    answer = await http.post("/codec/decode", json={"payloads": [payload] * 2_000}, headers=bearer(sign))
    counting.cancel()

    assert answer.json() == {"payloads": [await plain("hello")] * 2_000}
    # All at once, they would leave a handful.
    assert turns > 2_000 / AT_ONCE / 2


async def test_a_body_has_a_limit(http: httpx.AsyncClient, sign: Sign) -> None:
    headers = {**bearer(sign), "Content-Type": "application/json"}

    answer = await http.post("/codec/decode", content=b" " * (8 * 1024 * 1024 + 1), headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")
