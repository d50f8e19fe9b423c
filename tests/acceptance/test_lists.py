"""Lists are paged by opaque cursors, newest first."""

import asyncio
from typing import Any

from tests.acceptance.client import BIKE, Caller, Door


async def booked(caller: Caller, count: int, **order: Any) -> list[str]:
    """Place orders one by one and wait until each is in our books."""
    ids = []
    for _ in range(count):
        placed = await caller.placed(**order)
        ids.append(placed["id"])
    await asyncio.gather(*(caller.until(order_id, "completed", "awaiting_approval") for order_id in ids))
    return ids


async def test_pages_hold_every_order_once(customer: Caller) -> None:
    ids = await booked(customer, 5)
    seen: list[str] = []
    cursor: dict[str, str] = {}

    while True:
        page = (await customer.get("/v1/orders", limit=2, **cursor)).json()
        seen += [order["id"] for order in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}

    assert seen == ids[::-1]


async def test_a_list_of_exactly_one_page_has_no_next_one(customer: Caller) -> None:
    await booked(customer, 2)

    page = (await customer.get("/v1/orders", limit=2)).json()

    assert len(page["items"]) == 2
    assert page["next_cursor"] is None


async def test_an_order_looks_the_same_in_a_list(customer: Caller) -> None:
    (order_id,) = await booked(customer, 1)

    (listed,) = (await customer.get("/v1/orders")).json()["items"]

    assert listed == await customer.order(order_id)


async def test_a_list_can_be_narrowed_to_a_status(customer: Caller) -> None:
    (completed,) = await booked(customer, 1)
    (waiting,) = await booked(customer, 1, sku=BIKE, quantity=1)

    for status, expected in (("completed", [completed]), ("awaiting_approval", [waiting]), ("rejected", [])):
        page = (await customer.get("/v1/orders", status=status)).json()
        assert [order["id"] for order in page["items"]] == expected


async def test_operators_see_everybodys_orders(door: Door, operator: Caller) -> None:
    ids = {(await booked(door.customer(), 1))[0] for _ in range(2)}

    page = (await operator.get("/v1/orders", limit=100)).json()

    assert ids <= {order["id"] for order in page["items"]}


async def test_the_catalogue_shows_what_can_be_ordered(customer: Caller, operator: Caller) -> None:
    item = {"name": "Lamp", "price": {"amount": 60_000, "currency": "usd"}, "on_hand": 5}
    put = await operator.put("/v1/admin/catalogue/AT-LAMP", item)
    expected = {"sku": "AT-LAMP", "name": "Lamp", "price": item["price"], "available": 5}
    assert put.json() == expected
    assert await listed(customer, "AT-LAMP") == expected

    placed = await customer.placed(sku="AT-LAMP", quantity=2)
    await customer.until(placed["id"], "awaiting_approval")
    assert (await listed(customer, "AT-LAMP"))["available"] == 3

    assert (await operator.put("/v1/admin/catalogue/AT-LAMP", {**item, "on_hand": 1})).status_code == 409
    replaced = await operator.put("/v1/admin/catalogue/AT-LAMP", {**item, "name": "Desk lamp", "on_hand": 10})
    assert (replaced.json()["name"], replaced.json()["available"]) == ("Desk lamp", 8)

    await customer.post(f"/v1/orders/{placed['id']}/cancel")
    assert (await listed(customer, "AT-LAMP"))["available"] == 10


async def listed(caller: Caller, sku: str) -> dict[str, Any]:
    items = (await caller.get("/v1/catalogue")).json()["items"]
    return next(item for item in items if item["sku"] == sku)
