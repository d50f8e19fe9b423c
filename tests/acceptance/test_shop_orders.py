"""Orders as the shop shows them, what customers tell them there, and the streams that their pages follow."""

import asyncio
import re
from uuid import uuid4

import pytest

from stack.home import Home
from stack.tokens import sign_token
from tests.acceptance.client import BIKE, TEE, Caller, Door
from tests.acceptance.visitor import (
    Visitor,
    order_in,
    put_on_sale,
    token_of,
    visiting,
)
from tests.stack_session import RunningStack

WITHIN_S = 20
SECONDS_OF_TOKEN = 2


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
    rare = f"AT-RARE-{uuid4().hex[:8]}"
    await put_on_sale(operator, rare, on_hand=1)
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
