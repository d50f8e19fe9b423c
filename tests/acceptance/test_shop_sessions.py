"""Who looks at the shop: sessions made from tokens, and forms that other sites send."""

import asyncio

import pytest

from stack.home import Home
from stack.tokens import sign_token
from tests.acceptance.client import BIKE, TEE, Caller, Door, assert_problem
from tests.acceptance.visitor import (
    OWN_PAGE,
    Visitor,
    order_form,
    orders_of,
    token_of,
    visiting,
)
from tests.stack_session import RunningStack

WITHIN_S = 20
SECONDS_OF_TOKEN = 2


async def test_a_token_is_exchanged_for_a_session_without_being_seen_again(
    visitor: Visitor, customer: Caller, stack: RunningStack
) -> None:
    token = token_of(customer)
    await visitor.open("/shop/sign-in?next=/shop/orders")
    answer = await visitor.send("/shop/sign-in", {"token": f"  {token}\n", "next": visitor.hidden("next")})

    assert (answer.status_code, answer.headers["location"]) == (303, "/shop/orders")
    attributes = answer.headers["set-cookie"].split("; ")[1:]
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(attributes)
    (max_age,) = [int(part.partition("=")[2]) for part in attributes if part.startswith("Max-Age=")]
    assert 3_500 < max_age <= 3_600
    page = await visitor.open("/shop/orders")
    assert page.status_code == 200
    assert customer.subject in page.text
    logs = "".join(log.read_text() for log in Home(stack.home).logs.iterdir())
    for secret in (token, visitor.cookie, visitor.csrf):
        assert secret not in page.text.replace(f'name="csrf" value="{visitor.csrf}"', "")
        assert secret not in logs


@pytest.mark.parametrize("token", ["", "a.b.c", "tøken", "x" * 20_000])
async def test_what_is_no_token_signs_nobody_in(visitor: Visitor, token: str) -> None:
    await visitor.open("/shop/sign-in")
    answer = await visitor.send("/shop/sign-in", {"token": token})

    assert answer.status_code == 422
    assert "The token is not accepted" in answer.text
    assert (await visitor.open("/shop")).status_code == 303


async def test_a_session_ends_with_its_token(visitor: Visitor, customer: Caller, stack: RunningStack) -> None:
    token = sign_token(Home(stack.home), customer.subject, ["orders:write"], SECONDS_OF_TOKEN)
    await visitor.sign_in(token)
    cookie = visitor.cookie

    async with asyncio.timeout(WITHIN_S):
        # The browser would drop the cookie; who keeps it all the same gets nowhere.
        while (answer := await visitor.http.get("/shop", headers={"Cookie": f"session={cookie}"})).status_code == 200:
            await asyncio.sleep(0.1)
    assert (answer.status_code, answer.headers["location"]) == (303, "/shop/sign-in?next=/shop")


async def test_signing_out_ends_the_session_of_this_browser(ada: Visitor) -> None:
    answer = await ada.send("/shop/sign-out")

    assert (answer.status_code, answer.headers["location"]) == (303, "/shop/sign-in")
    assert "session" not in ada.http.cookies
    assert (await ada.open("/shop")).status_code == 303


async def test_a_session_opens_the_pages_and_nothing_else(ada: Visitor) -> None:
    assert_problem(await ada.http.get("/v1/orders"), 401, "unauthenticated")
    assert_problem(await ada.http.post("/v1/orders", json={}), 401, "unauthenticated")


FORGERIES = {
    "without the secret": ({}, OWN_PAGE),
    "with an empty one": ({"csrf": ""}, OWN_PAGE),
    "with the secret, from another site": (None, {"Sec-Fetch-Site": "cross-site"}),
    "with the secret, from another origin": (None, {"Origin": "https://evil.example"}),
    "with the secret, from a sandboxed frame": (None, {"Origin": "null"}),
    "with the secret, from nowhere": (None, {}),
}


@pytest.mark.parametrize(("secret", "headers"), FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_forged_form_is_refused_and_nothing_happens(
    ada: Visitor, customer: Caller, secret: dict[str, str] | None, headers: dict[str, str]
) -> None:
    waiting = await customer.placed(sku=BIKE, quantity=1)
    await customer.until(waiting["id"], "awaiting_approval")
    order = {"key": "forged", **order_form(TEE)}
    # A form without any field would have no media type.
    sent = {"button": "", **({"csrf": ada.csrf} if secret is None else secret)}

    answers = [
        await ada.http.post("/shop", data={**order, **sent}, headers=headers),
        await ada.http.post(f"/shop/orders/{waiting['id']}/cancel", data=sent, headers=headers),
        await ada.http.post("/shop/sign-out", data=sent, headers=headers),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert await orders_of(customer) == [waiting["id"]]
    assert (await customer.order(waiting["id"]))["status"] == "awaiting_approval"
    assert (await ada.open("/shop")).status_code == 200
    await customer.post(f"/v1/orders/{waiting['id']}/cancel")


async def test_the_secret_of_another_session_is_of_no_use(
    ada: Visitor, customer: Caller, door: Door, stack: RunningStack
) -> None:
    async with visiting(stack) as other:
        mallory = await other.sign_in(token_of(door.customer()))
        answer = await ada.order(TEE, fields={"csrf": mallory.csrf})

    assert answer.status_code == 403
    assert await orders_of(customer) == []


async def test_nobody_is_signed_in_as_somebody_else_without_knowing(
    visitor: Visitor, customer: Caller, door: Door, stack: RunningStack
) -> None:
    async with visiting(stack) as mallory:
        await mallory.open("/shop/sign-in")
        secret_of_another = mallory.csrf
    await visitor.open("/shop/sign-in")

    for answer in (
        await visitor.send("/shop/sign-in", {"token": token_of(customer), "csrf": secret_of_another}),
        await visitor.send("/shop/sign-in", {"token": token_of(customer)}, {"Sec-Fetch-Site": "cross-site"}),
    ):
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
