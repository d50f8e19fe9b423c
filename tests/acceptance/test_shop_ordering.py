"""Ordering in the shop, as a browser without scripts does."""

import asyncio
import re

import pytest

from tests.acceptance.client import ADA, EURO_TEE, TEE, Caller, Door
from tests.acceptance.visitor import (
    OWN_PAGE,
    Visitor,
    order_form,
    order_in,
    orders_of,
    token_of,
)


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
