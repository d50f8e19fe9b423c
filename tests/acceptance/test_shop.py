"""The shop's pages, as a browser without scripts sees them."""

import asyncio
import re
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

from stack.home import Home
from stack.tokens import sign_token
from tests.acceptance.client import BIKE, EURO_TEE, TEE, Caller, Door, assert_problem
from tests.acceptance.visitor import ADA, OWN_PAGE, Visitor, order_form, visiting
from tests.stack_session import RunningStack

WITHIN_S = 20
SECONDS_OF_TOKEN = 2


@pytest.fixture
async def visitor(stack: RunningStack) -> AsyncIterator[Visitor]:
    async with visiting(stack) as opened:
        yield opened


@pytest.fixture
async def ada(visitor: Visitor, customer: Caller) -> Visitor:
    """The customer, signed in."""
    return await visitor.sign_in(token_of(customer))


def token_of(caller: Caller) -> str:
    return caller.headers["Authorization"].removeprefix("Bearer ")


async def rare_item(operator: Caller, *, units: int) -> str:
    """Something of which there is too little."""
    sku = f"AT-RARE-{uuid4().hex[:8]}"
    price = {"amount": 1_000, "currency": "usd"}
    put = await operator.put(f"/v1/admin/catalogue/{sku}", {"name": sku.lower(), "price": price, "on_hand": units})
    assert put.status_code == 200, put.text
    return sku


async def orders_of(customer: Caller) -> list[str]:
    return [order["id"] for order in (await customer.get("/v1/orders")).json()["items"]]


def order_in(answer: httpx.Response) -> str:
    """The order whose page one is sent to."""
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].rpartition("/")[2]


# Signing in and out


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


# Forms that other sites send


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


# Ordering


async def test_an_order_is_placed_as_the_api_places_it(ada: Visitor, customer: Caller) -> None:
    order_id = order_in(await ada.order(TEE, 2, {"line2": "3rd floor"}))

    order = await customer.until(order_id, "completed")
    assert [(line["sku"], line["quantity"]) for line in order["lines"]] == [(TEE, 2)]
    assert order["ship_to"] == {**ADA, "line2": "3rd floor"}
    page = await ada.open(f"/shop/orders/{order_id}")
    assert "Completed" in page.text
    assert "39.98 USD" in page.text
    assert "Cancel the order" not in page.text


async def test_a_form_that_is_sent_twice_places_one_order(ada: Visitor, customer: Caller) -> None:
    await ada.open("/shop")
    form = {"key": ada.hidden("key"), **order_form(TEE)}

    answers = await asyncio.gather(*(ada.send("/shop", form) for _ in range(5)))

    (order_id,) = {order_in(answer) for answer in answers}
    assert await orders_of(customer) == [order_id]


async def test_a_form_that_is_changed_and_sent_again_is_asked_about(ada: Visitor, customer: Caller) -> None:
    first = order_in(await ada.order(TEE, 1))
    key = ada.hidden("key")
    again = await ada.order(TEE, 3, {"key": key})

    assert again.status_code == 409
    assert f'href="/shop/orders/{first}"' in again.text
    assert re.search(rf'name="quantity.{TEE}" value="3"', again.text)
    ada.page = again.text
    assert ada.hidden("key") != key
    assert await orders_of(customer) == [first]


async def test_bad_input_is_said_beside_the_fields_and_kept(ada: Visitor, customer: Caller) -> None:
    answer = await ada.order(
        TEE, fields={"name": '<b>"Ada"</b>', "city": "", "country": "XX", f"quantity.{TEE}": "two"}
    )

    assert answer.status_code == 422
    for field in (f"quantity.{TEE}", "city", "country"):
        assert f'id="{field}-error"' in answer.text
        assert f'aria-describedby="{field}-error"' in answer.text
    assert f'name="quantity.{TEE}" value="two"' in answer.text
    assert 'value="&lt;b&gt;&#34;Ada&#34;&lt;/b&gt;"' in answer.text
    assert "<b>" not in answer.text
    assert await orders_of(customer) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({f"quantity.{TEE}": "0"}, "Choose at least one item."),
        ({f"quantity.{TEE}": "1", "quantity.NO-SUCH": "1"}, "Unknown: NO-SUCH."),
        ({f"quantity.{TEE}": "1", f"quantity.{EURO_TEE}": "1"}, "place an order for each"),
        ({"payment_method": "x"}, "Choose how to pay."),
    ],
)
async def test_what_cannot_be_ordered_is_said(
    ada: Visitor, customer: Caller, fields: dict[str, str], said: str
) -> None:
    answer = await ada.order(TEE, fields=fields)

    assert answer.status_code == 422
    assert said in answer.text
    assert await orders_of(customer) == []


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"csrf=%ff", "application/x-www-form-urlencoded", 422),
        (b"\xff", "application/x-www-form-urlencoded", 422),
        (b"{}", "application/json", 415),
        (b"a" * 300_000, "application/x-www-form-urlencoded", 413),
    ],
)
async def test_what_is_no_form_is_refused_with_a_page(
    ada: Visitor, content: bytes, media_type: str, status: int
) -> None:
    answer = await ada.http.post("/shop", content=content, headers={**OWN_PAGE, "Content-Type": media_type})

    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")


async def test_the_total_is_worked_out_while_the_form_is_filled_in(ada: Visitor) -> None:
    total = await ada.send("/shop/total", {f"quantity.{TEE}": "2", f"quantity.{EURO_TEE}": "1"})
    unfinished = await ada.send("/shop/total", {f"quantity.{TEE}": "2x"})

    assert "17.99 EUR and 39.98 USD" in total.text
    assert "USD" not in unfinished.text


async def test_who_may_only_look_cannot_order(visitor: Visitor, door: Door) -> None:
    reader = door.customer("orders:read")
    looking = await visitor.sign_in(token_of(reader))

    assert "Place the order" not in looking.page
    answer = await looking.send("/shop", {"key": "k", **order_form(TEE)})
    assert answer.status_code == 403
    assert await orders_of(reader) == []


# Orders


async def test_orders_are_shown_newest_first_page_by_page(ada: Visitor, customer: Caller) -> None:
    placed = [(await customer.placed())["id"] for _ in range(21)]
    await asyncio.gather(*(customer.until(order_id, "completed") for order_id in placed))

    first = await ada.open("/shop/orders")
    (older,) = re.findall(r'rel="next" href="([^"]+)"', first.text)
    second = await ada.open(older)

    shown = re.findall(r'href="/shop/orders/(ord_\w+)"', first.text + second.text)
    assert shown == placed[::-1]
    assert (await ada.open("/shop/orders?cursor=x")).status_code == 400


async def test_an_order_is_shown_to_its_customer_alone(
    ada: Visitor, customer: Caller, door: Door, operator: Caller, stack: RunningStack
) -> None:
    order_id = (await door.customer().placed())["id"]

    assert (await ada.open(f"/shop/orders/{order_id}")).status_code == 404
    assert (await ada.open(f"/shop/orders/{order_id}/events")).status_code == 404
    await ada.open("/shop")
    assert (await ada.send(f"/shop/orders/{order_id}/cancel")).status_code == 404
    async with visiting(stack) as other:
        olga = await other.sign_in(token_of(operator))
        assert (await olga.open(f"/shop/orders/{order_id}")).status_code == 404
        assert order_id not in (await olga.open("/shop/orders")).text


async def test_an_order_that_waits_can_be_cancelled_and_a_finished_one_says_that_it_is_too_late(
    ada: Visitor, customer: Caller
) -> None:
    bike = order_in(await ada.order(BIKE))
    await customer.until(bike, "awaiting_approval")
    assert "Cancel the order" in (await ada.open(f"/shop/orders/{bike}")).text
    cancelled = await ada.send(f"/shop/orders/{bike}/cancel")
    tee = order_in(await ada.order(TEE))
    await customer.until(tee, "completed")
    late = await ada.send(f"/shop/orders/{tee}/cancel")

    assert order_in(cancelled) == bike
    assert (await customer.order(bike))["status"] == "cancelled"
    assert late.status_code == 409
    assert "Its status is completed." in late.text
    assert tee in late.text


@pytest.mark.parametrize(("action", "status"), [("amend", "completed"), ("cancel", "cancelled")])
async def test_what_is_not_available_is_asked_about_and_the_answer_counts(
    ada: Visitor, customer: Caller, operator: Caller, action: str, status: str
) -> None:
    rare = await rare_item(operator, units=1)
    order_id = order_in(await ada.order(TEE, 2, {f"quantity.{rare}": "3"}))
    await customer.until(order_id, "awaiting_customer")
    question = await ada.open(f"/shop/orders/{order_id}")
    assert "What shall we do?" in question.text
    unknown = await ada.send(f"/shop/orders/{order_id}/customer-action", {"action": "wait"})
    assert unknown.status_code == 422
    assert (await customer.order(order_id))["status"] == "awaiting_customer"

    answer = await ada.send(f"/shop/orders/{order_id}/customer-action", {"action": action})

    assert order_in(answer) == order_id
    order = await customer.until(order_id, status)
    assert {line["sku"]: line["quantity"] for line in order["removed_lines"]} == (
        {rare: 2} if action == "amend" else {}
    )
    assert "What shall we do?" not in (await ada.open(f"/shop/orders/{order_id}")).text
    again = await ada.send(f"/shop/orders/{order_id}/customer-action", {"action": "amend"})
    assert again.status_code == 409
    assert order_id in again.text


async def test_the_stream_brings_the_page_as_it_changes_and_says_when_it_is_over(
    ada: Visitor, customer: Caller
) -> None:
    order_id = order_in(await ada.order(TEE, fields={"name": "<i>Ada</i>"}))
    path = f"/shop/orders/{order_id}/events"

    async with asyncio.timeout(WITHIN_S):
        whole = await ada.http.get(path)
    events = [parsed(text) for text in whole.text.split("\n\n") if text and not text.startswith(":")]
    resumed = await ada.http.get(path, headers={"Last-Event-ID": events[-2]["id"]})

    assert whole.headers["content-type"].startswith("text/event-stream")
    assert [event["event"] for event in events[:-1]] == ["order"] * (len(events) - 1)
    assert events[-1]["event"] == "end"
    sequences = [int(event["id"]) for event in events[:-1]]
    assert sequences == sorted(set(sequences))
    order = await customer.until(order_id, "completed")
    assert sequences[-1] == order["timeline"][-1]["sequence"]
    assert "Everything is paid and on its way." in events[-2]["data"]
    assert "&lt;i&gt;Ada&lt;/i&gt;" in events[-2]["data"]
    assert "<i>" not in whole.text
    assert [parsed(text)["event"] for text in resumed.text.split("\n\n") if text] == ["end"]


async def test_the_stream_ends_with_the_session(visitor: Visitor, customer: Caller, stack: RunningStack) -> None:
    waiting = await customer.placed(sku=BIKE, quantity=1)
    token = sign_token(Home(stack.home), customer.subject, ["orders:write"], SECONDS_OF_TOKEN)
    await visitor.sign_in(token)

    async with asyncio.timeout(WITHIN_S):
        stream = await visitor.http.get(f"/shop/orders/{waiting['id']}/events")

    events = [parsed(text)["event"] for text in stream.text.split("\n\n") if text and not text.startswith(":")]
    assert events[-2:] == ["expired", "end"]
    await customer.post(f"/v1/orders/{waiting['id']}/cancel")


def parsed(event: str) -> dict[str, str]:
    """A server-sent event's fields; lines of data are joined (WHATWG HTML, section 9.2.6)."""
    fields: dict[str, str] = {}
    for line in event.split("\n"):
        name, _, value = line.partition(": ")
        fields[name] = f"{fields[name]}\n{value}" if name in fields else value
    return fields
