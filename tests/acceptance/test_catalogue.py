"""What operators put on sale, and in which warehouses it lies."""

from typing import Any

import pytest

from tests.acceptance.client import Caller, assert_problem

LAMP = {"name": "Lamp", "price": {"amount": 60_000, "currency": "usd"}}


async def put(operator: Caller, sku: str, on_hand: Any) -> dict[str, Any]:
    answer = await operator.put(f"/v1/admin/catalogue/{sku}", {**LAMP, "on_hand": on_hand})
    assert answer.status_code == 200, answer.text
    item: dict[str, Any] = answer.json()
    return item


async def available(caller: Caller, sku: str) -> int:
    items = (await caller.get("/v1/catalogue")).json()["items"]
    (units,) = [item["available"] for item in items if item["sku"] == sku]
    return int(units)


async def test_what_can_be_ordered_is_summed_over_the_warehouses(operator: Caller, customer: Caller) -> None:
    item = await put(operator, "AT-WAREHOUSES", {"wh_oslo": 3, "wh_lyon": 1})

    assert item == {"sku": "AT-WAREHOUSES", **LAMP, "available": 4}
    assert await available(customer, "AT-WAREHOUSES") == 4


async def test_a_warehouse_that_is_not_named_is_empty_then(operator: Caller, customer: Caller) -> None:
    await put(operator, "AT-EMPTIED", {"wh_oslo": 3, "wh_lyon": 1})

    assert (await put(operator, "AT-EMPTIED", {"wh_lyon": 5, "wh_bergen": 2}))["available"] == 7
    assert (await put(operator, "AT-EMPTIED", 10))["available"] == 10
    assert await available(customer, "AT-EMPTIED") == 10


async def test_repeating_a_put_changes_nothing(operator: Caller) -> None:
    first = await put(operator, "AT-REPEATED", {"wh_oslo": 3, "wh_lyon": 0})

    assert await put(operator, "AT-REPEATED", {"wh_oslo": 3, "wh_lyon": 0}) == first


async def test_a_warehouse_keeps_what_orders_hold_there(operator: Caller, customer: Caller) -> None:
    await put(operator, "AT-HELD", {"wh_default": 5})
    placed = await customer.placed(sku="AT-HELD", quantity=2)
    await customer.until(placed["id"], "awaiting_approval")

    for too_few in ({"wh_oslo": 10}, {"wh_default": 1, "wh_oslo": 10}, 1):
        refused = await operator.put("/v1/admin/catalogue/AT-HELD", {**LAMP, "name": "Other", "on_hand": too_few})
        problem = assert_problem(refused, 409, "stock_is_reserved")
        assert "2 in wh_default" in problem["detail"]
    assert await available(customer, "AT-HELD") == 3
    assert (await put(operator, "AT-HELD", {"wh_default": 2, "wh_oslo": 1}))["available"] == 1

    await customer.post(f"/v1/orders/{placed['id']}/cancel")


BAD_STOCK = {
    "true": (True, "on_hand"),
    "a float": (1.0, "on_hand"),
    "text": ("1", "on_hand"),
    "negative": (-1, "on_hand"),
    "too large": (1_000_000_001, "on_hand"),
    "null": (None, "on_hand"),
    "a list": ([{"wh_oslo": 1}], "on_hand"),
    "no warehouse": ({}, "on_hand"),
    "51 warehouses": ({f"wh_{number}": 1 for number in range(51)}, "on_hand"),
    "true in a warehouse": ({"wh_oslo": True}, "on_hand.wh_oslo"),
    "a float in a warehouse": ({"wh_oslo": 1, "wh_lyon": 1.0}, "on_hand.wh_lyon"),
    "text in a warehouse": ({"wh_oslo": "1"}, "on_hand.wh_oslo"),
    "negative in a warehouse": ({"wh_oslo": -1}, "on_hand.wh_oslo"),
    "too large in a warehouse": ({"wh_oslo": 1_000_000_001}, "on_hand.wh_oslo"),
    "null in a warehouse": ({"wh_oslo": None}, "on_hand.wh_oslo"),
    "an object in a warehouse": ({"wh_oslo": {"on_hand": 1}}, "on_hand.wh_oslo"),
    "an id without its prefix": ({"oslo": 1}, "on_hand.oslo.[key]"),
    "nothing but a prefix": ({"wh_": 1}, "on_hand.wh_.[key]"),
    "capitals": ({"wh_Oslo": 1}, "on_hand.wh_Oslo.[key]"),
    "a line break": ({"wh_oslo\n": 1}, "on_hand.wh_oslo\n.[key]"),
    "an endless id": ({f"wh_{'x' * 61}": 1}, f"on_hand.wh_{'x' * 61}.[key]"),
}


@pytest.mark.parametrize(("on_hand", "field"), BAD_STOCK.values(), ids=BAD_STOCK.keys())
async def test_bad_stock_is_refused_with_the_name_of_the_field(operator: Caller, on_hand: Any, field: str) -> None:
    answer = await operator.put("/v1/admin/catalogue/AT-BAD-STOCK", {**LAMP, "on_hand": on_hand})

    problem = assert_problem(answer, 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == [field]
    assert "AT-BAD-STOCK" not in [item["sku"] for item in (await operator.get("/v1/catalogue")).json()["items"]]


async def test_fifty_warehouses_with_the_longest_ids_are_not_too_many(operator: Caller) -> None:
    on_hand = {f"wh_{number:060}": 1_000_000_000 for number in range(50)}

    assert (await put(operator, "AT-EVERYWHERE", on_hand))["available"] == 50_000_000_000
