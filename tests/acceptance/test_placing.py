"""Orders are accepted once, however often they are sent."""

import asyncio
from datetime import datetime

from tests.acceptance.client import ADA, BIKE, TEE, Caller, Door, assert_problem, new_key, order_body

FIELDS = {
    *("id", "status", "customer_id", "lines", "total", "ship_to", "fulfilments", "payment", "failure", "timeline"),
    *("removed_lines", "created_at", "updated_at", "source", "stale", "links"),
}


async def test_an_accepted_order_is_answered_with_its_resource(customer: Caller) -> None:
    answer = await customer.place()

    order = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/orders/{order['id']}"
    assert "idempotent-replayed" not in answer.headers
    assert order.keys() == FIELDS
    assert order["status"] == "accepted"
    assert order["customer_id"] == customer.subject
    assert order["lines"] == [
        {"sku": TEE, "name": "at-tee", "quantity": 2, "unit_price": {"amount": 1_999, "currency": "usd"}}
    ]
    assert order["total"] == {"amount": 3_998, "currency": "usd"}
    assert order["ship_to"] == {**ADA, "line2": None}
    assert [(entry["sequence"], entry["type"]) for entry in order["timeline"]] == [(1, "accepted")]
    assert (order["source"], order["stale"]) == ("workflow", False)
    assert order["created_at"].endswith("Z")
    assert datetime.fromisoformat(order["created_at"])
    url = f"/v1/orders/{order['id']}"
    assert order["links"] == {
        "self": url,
        "cancel": f"{url}/cancel",
        "customer_action": f"{url}/customer-action",
        "shipping_address": f"{url}/shipping-address",
    }


async def test_it_can_be_read_at_once_and_is_followed_through(customer: Caller) -> None:
    placed = await customer.placed()

    assert (await customer.order(placed["id"]))["id"] == placed["id"]
    order = await customer.until(placed["id"], "completed")
    assert [entry["type"] for entry in order["timeline"]] == [
        "accepted",
        "reserved",
        "charged",
        "shipped",
        "completed",
    ]
    assert order["payment"]["status"] == "charged"
    assert order["fulfilments"][0]["status"] == "shipped"
    assert order["failure"] is None
    assert order["timeline"][0] == placed["timeline"][0]


async def test_a_finished_order_is_read_from_the_projection_and_is_not_stale(customer: Caller) -> None:
    placed = await customer.placed()
    await customer.until(placed["id"], "completed")

    order = await customer.order(placed["id"])

    assert (order["source"], order["stale"]) == ("projection", False)


async def test_a_declined_card_ends_the_order(customer: Caller) -> None:
    placed = await customer.placed(payment_method="pm_card_visa_chargeDeclined")

    order = await customer.until(placed["id"], "rejected")

    assert order["failure"]["code"] == "payment_declined"
    assert order["failure"]["message"]


async def test_repeating_a_request_finds_the_same_order(customer: Caller) -> None:
    key, body = new_key(), order_body()
    first = await customer.place(body, key)
    again = await customer.place(body, key)

    assert (first.status_code, again.status_code) == (202, 200)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]

    await customer.until(first.json()["id"], "completed")
    later = await customer.place(body, key)
    assert later.status_code == 200
    assert later.headers["idempotent-replayed"] == "true"
    assert later.json() == await customer.order(first.json()["id"])


async def test_a_repeat_is_answered_before_the_catalogue_is_looked_at(customer: Caller, operator: Caller) -> None:
    key, body = new_key(), order_body("AT-CHANGING")
    item = {"name": "changing", "price": {"amount": 100}, "on_hand": 100}
    await operator.put("/v1/admin/catalogue/AT-CHANGING", item)
    first = await customer.place(body, key)
    await operator.put("/v1/admin/catalogue/AT-CHANGING", {**item, "price": {"amount": 900}})

    again = await customer.place(body, key)

    assert again.status_code == 200
    assert again.json()["total"] == first.json()["total"] == {"amount": 200, "currency": "usd"}


async def test_a_key_cannot_be_used_for_another_body(customer: Caller) -> None:
    key = new_key()
    first = await customer.place(order_body(quantity=1), key)
    assert first.status_code == 202

    assert_problem(await customer.place(order_body(quantity=2), key), 422, "idempotency_key_reused")
    await customer.until(first.json()["id"], "completed")
    assert_problem(await customer.place(order_body(quantity=2), key), 422, "idempotency_key_reused")


async def test_keys_belong_to_their_subject(door: Door) -> None:
    key = new_key()
    first, second = await door.customer().place(key=key), await door.customer().place(key=key)

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] != second.json()["id"]


async def test_fifty_at_once_are_one_order(customer: Caller) -> None:
    key = new_key()
    answers = await asyncio.gather(*(customer.place(key=key) for _ in range(50)))

    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    replays = [answer for answer in answers if answer.headers.get("idempotent-replayed") == "true"]
    assert len(replays) == 49
    assert len((await customer.get("/v1/orders")).json()["items"]) <= 1


async def test_fifty_different_bodies_at_once_are_one_order_and_forty_nine_refusals(customer: Caller) -> None:
    key = new_key()
    answers = await asyncio.gather(*(customer.place(order_body(quantity=n), key) for n in range(1, 51)))

    assert sorted(answer.status_code for answer in answers) == [202] + [422] * 49


async def test_one_hundred_lines_of_up_to_a_thousand_are_allowed(customer: Caller, operator: Caller) -> None:
    skus = [f"AT-MANY-{number}" for number in range(100)]
    item = {"name": "one of many", "price": {"amount": 1}, "on_hand": 10_000}
    for sku in skus:
        assert (await operator.put(f"/v1/admin/catalogue/{sku}", item)).status_code == 200

    answer = await customer.place(order_body(lines=[{"sku": sku, "quantity": 1_000} for sku in skus]))

    assert answer.status_code == 202, answer.text
    assert answer.json()["total"]["amount"] == 100_000


async def test_the_longest_key_is_allowed(customer: Caller) -> None:
    assert (await customer.place(key=("!~" + "k" * 300)[:255])).status_code == 202


async def test_an_order_above_the_threshold_waits_for_approval(customer: Caller) -> None:
    placed = await customer.placed(sku=BIKE, quantity=1)

    order = await customer.until(placed["id"], "awaiting_approval")

    assert order["payment"] is None
