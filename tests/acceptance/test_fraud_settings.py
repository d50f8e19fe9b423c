"""What operators set against fraud."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.acceptance.client import Caller, Door, assert_problem
from tests.shop import Shop

FRAUD = "/v1/admin/fraud"
# Nobody else on this stack spends as much.
LIMIT = {"amount": 1_000_000_000_000, "window_s": 60}
OFF: dict[str, Any] = {"limit": None, "maintenance": {"enabled": False}}


@pytest.fixture
async def fraud(operator: Caller) -> AsyncIterator[Caller]:
    """An operator, who leaves all as it is by default."""
    yield operator
    await operator.delete(f"{FRAUD}/limit")
    await operator.put(f"{FRAUD}/maintenance", {"enabled": False})


async def test_the_limit_is_off_by_default(fraud: Caller) -> None:
    answer = await fraud.get(FRAUD)

    assert (answer.status_code, answer.json()) == (200, OFF)


async def test_a_limit_is_set_replaced_and_switched_off(fraud: Caller) -> None:
    for limit in (LIMIT, LIMIT, {**LIMIT, "window_s": 31_622_400}):
        answer = await fraud.put(f"{FRAUD}/limit", limit)
        assert (answer.status_code, answer.json()) == (200, {**OFF, "limit": limit})
        assert (await fraud.get(FRAUD)).json() == answer.json()
    for _ in range(2):
        answer = await fraud.delete(f"{FRAUD}/limit")
        assert (answer.status_code, answer.json()) == (200, OFF)
    assert (await fraud.get(FRAUD)).json() == OFF


async def test_maintenance_is_switched_on_and_off_and_leaves_the_limit_alone(fraud: Caller) -> None:
    await fraud.put(f"{FRAUD}/limit", LIMIT)

    for enabled in (True, True, False, False):
        answer = await fraud.put(f"{FRAUD}/maintenance", {"enabled": enabled})
        assert (answer.status_code, answer.json()) == (200, {"limit": LIMIT, "maintenance": {"enabled": enabled}})
        assert (await fraud.get(FRAUD)).json() == answer.json()


BAD_LIMITS = {
    "no amount": ({"window_s": 60}, "amount"),
    "no window": ({"amount": 1}, "window_s"),
    "amount 0": ({"amount": 0, "window_s": 60}, "amount"),
    "a negative amount": ({"amount": -1, "window_s": 60}, "amount"),
    "an amount as text": ({"amount": "1", "window_s": 60}, "amount"),
    "a float for an amount": ({"amount": 1.0, "window_s": 60}, "amount"),
    "true for an amount": ({"amount": True, "window_s": 60}, "amount"),
    "null for an amount": ({"amount": None, "window_s": 60}, "amount"),
    "too large an amount": ({"amount": 10**12 + 1, "window_s": 60}, "amount"),
    "a huge amount": ({"amount": 10**400, "window_s": 60}, "amount"),
    "window 0": ({"amount": 1, "window_s": 0}, "window_s"),
    "a negative window": ({"amount": 1, "window_s": -1}, "window_s"),
    "a window as text": ({"amount": 1, "window_s": "60"}, "window_s"),
    "a float for a window": ({"amount": 1, "window_s": 60.5}, "window_s"),
    "true for a window": ({"amount": 1, "window_s": True}, "window_s"),
    "more than a year": ({"amount": 1, "window_s": 366 * 24 * 60 * 60 + 1}, "window_s"),
    "an unknown field": ({"amount": 1, "window_s": 60, "currency": "usd"}, "currency"),
    "a list": ([], "body"),
}


@pytest.mark.parametrize(("body", "field"), BAD_LIMITS.values(), ids=BAD_LIMITS.keys())
async def test_a_bad_limit_is_refused_with_the_name_of_the_field(fraud: Caller, body: Any, field: str) -> None:
    problem = assert_problem(await fraud.put(f"{FRAUD}/limit", body), 422, "invalid_request")

    assert [error["field"] for error in problem["errors"]] == [field]
    assert (await fraud.get(FRAUD)).json() == OFF


@pytest.mark.parametrize("body", [{}, {"enabled": 1}, {"enabled": "true"}, {"enabled": None}], ids=str)
async def test_maintenance_is_true_or_false(fraud: Caller, body: Any) -> None:
    problem = assert_problem(await fraud.put(f"{FRAUD}/maintenance", body), 422, "invalid_request")

    assert [error["field"] for error in problem["errors"]] == ["enabled"]
    assert (await fraud.get(FRAUD)).json() == OFF


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", FRAUD), ("PUT", f"{FRAUD}/limit"), ("DELETE", f"{FRAUD}/limit"), ("PUT", f"{FRAUD}/maintenance")],
)
async def test_only_operators_see_and_change_them(door: Door, method: str, path: str) -> None:
    customer = door.customer("orders:write", "jobs:write", "webhooks:write")

    refused = await customer.http.request(method, path, headers=customer.headers, content=b"[" * 300_000)
    assert_problem(refused, 403, "forbidden")
    assert_problem(await customer.http.request(method, path), 401, "unauthenticated")


async def test_an_order_over_the_limit_is_rejected_and_nothing_is_charged(
    customer: Caller, fraud: Caller, shop: Shop
) -> None:
    await fraud.put("/v1/admin/fraud/limit", {"amount": 3_998, "window_s": 3_600})
    within = await customer.placed(quantity=2)
    await customer.until(within["id"], "completed")

    over = await customer.until((await customer.placed(quantity=1))["id"], "rejected")

    assert over["failure"]["code"] == "fraud_suspected"
    assert (await shop.ledger.effects(over["id"])).charges == ()


async def test_orders_wait_for_suspended_checks_and_then_go_on(customer: Caller, fraud: Caller, shop: Shop) -> None:
    await fraud.put("/v1/admin/fraud/maintenance", {"enabled": True})
    placed = await customer.placed()
    order = await customer.until(placed["id"], "processing")
    assert "charged" not in [entry["type"] for entry in order["timeline"]]

    await fraud.put("/v1/admin/fraud/maintenance", {"enabled": False})

    await customer.until(placed["id"], "completed")
    assert len((await shop.ledger.effects(placed["id"])).charges) == 1
