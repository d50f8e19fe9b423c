"""Lists of orders can be narrowed: by status, time and SKU, and by all of them together."""

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.acceptance.client import BIKE, TEE, Caller, Door, assert_problem, order_body

MUG, UNSOLD = "AT-FILTERED-MUG", "AT-NEVER-SOLD"
STATUSES = (None, "completed", "rejected", "awaiting_approval", "cancelled")
SKUS = (None, TEE, BIKE, MUG, UNSOLD)


@pytest.fixture(scope="module")
async def buyer(door: Door) -> Caller:
    return door.customer()


@pytest.fixture(scope="module")
async def bought(buyer: Caller, door: Door) -> list[dict[str, Any]]:
    """Orders of each kind, newest first, as they stay."""
    price = {"amount": 1_250, "currency": "usd"}
    await door.operator().put(f"/v1/admin/catalogue/{MUG}", {"name": "Mug", "price": price, "on_hand": 1_000})
    declined = "pm_card_visa_chargeDeclined"
    wanted: list[tuple[str, dict[str, Any]]] = [
        ("completed", {"lines": lines_of(TEE)}),
        ("awaiting_approval", {"lines": lines_of(BIKE)}),
        ("completed", {"lines": lines_of(TEE, MUG)}),
        ("rejected", {"lines": lines_of(MUG), "payment_method": declined}),
        ("awaiting_approval", {"lines": lines_of(TEE, BIKE, MUG)}),
        ("completed", {"lines": lines_of(MUG)}),
        ("rejected", {"lines": lines_of(MUG, TEE), "payment_method": declined}),
    ]
    orders = []
    for status, changes in wanted:
        placed = await buyer.place(order_body(**changes))
        assert placed.status_code == 202, placed.text
        orders.append(await buyer.until(placed.json()["id"], status))
    return orders[::-1]


def lines_of(*skus: str) -> list[dict[str, Any]]:
    return [{"sku": sku, "quantity": 1} for sku in skus]


def fits(order: dict[str, Any], status: str | None, created_after: str | None, sku: str | None) -> bool:
    return (
        (status is None or order["status"] == status)
        and (created_after is None or order["created_at"] > created_after)
        and (sku is None or sku in [line["sku"] for line in order["lines"]])
    )


async def pages(caller: Caller, limit: int, **filters: str) -> list[list[str]]:
    """The ids on each page, from the first to the last."""
    found: list[list[str]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await caller.get("/v1/orders", limit=limit, **filters, **cursor)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found.append([order["id"] for order in page["items"]])
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


@pytest.mark.parametrize("sku", SKUS, ids=str)
@pytest.mark.parametrize("status", STATUSES, ids=str)
async def test_a_list_has_what_fits_every_filter_and_nothing_else(
    buyer: Caller, bought: list[dict[str, Any]], status: str | None, sku: str | None
) -> None:
    for created_after in (None, *(order["created_at"] for order in bought)):
        asked = {"status": status, "created_after": created_after, "sku": sku}
        filters = {name: value for name, value in asked.items() if value is not None}
        expected = [order["id"] for order in bought if fits(order, status, created_after, sku)]

        assert await pages(buyer, 100, **filters) == [expected]
        by_two = await pages(buyer, 2, **filters)
        assert list(itertools.chain(*by_two)) == expected
        assert all(len(page) == 2 for page in by_two[:-1])


async def test_the_moment_itself_is_left_out_in_whatever_offset_it_is_written(
    buyer: Caller, bought: list[dict[str, Any]]
) -> None:
    third = datetime.fromisoformat(bought[2]["created_at"])
    spellings: list[Callable[[datetime], str]] = [
        lambda at: at.isoformat(),
        lambda at: at.isoformat().replace("+00:00", "Z"),
        lambda at: at.isoformat().replace("+00:00", "z").replace("T", "t"),
        lambda at: at.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat(),
        lambda at: at.astimezone(timezone(timedelta(hours=-11))).isoformat(),
    ]
    for spelled in spellings:
        after = spelled(third)
        assert await pages(buyer, 100, created_after=after) == [[order["id"] for order in bought[:2]]], after
    before = (third - timedelta(microseconds=1)).isoformat()
    assert await pages(buyer, 100, created_after=before) == [[order["id"] for order in bought[:3]]]


async def test_a_cursor_goes_with_any_filter(buyer: Caller, bought: list[dict[str, Any]]) -> None:
    first = (await buyer.get("/v1/orders", limit=3, sku=MUG)).json()
    behind = bought[[order["id"] for order in bought].index(first["items"][-1]["id"]) + 1 :]

    for filters in ({}, {"sku": TEE}, {"status": "completed"}, {"sku": BIKE, "status": "awaiting_approval"}):
        page = (await buyer.get("/v1/orders", cursor=first["next_cursor"], **filters)).json()
        expected = [order["id"] for order in behind if fits(order, filters.get("status"), None, filters.get("sku"))]
        assert [order["id"] for order in page["items"]] == expected


async def test_filters_show_nobody_elses_orders_except_to_operators(
    door: Door, operator: Caller, bought: list[dict[str, Any]]
) -> None:
    of_mugs = [order["id"] for order in bought if fits(order, None, None, MUG)]
    since = {"created_after": "2020-01-01T00:00:00Z"}

    assert await pages(door.customer(), 100, sku=MUG, **since) == [[]]
    assert await pages(operator, 100, sku=MUG, **since) == [of_mugs]


@pytest.mark.parametrize(
    "created_after",
    [
        "",
        "yesterday",
        "2026-03-01",
        "2026-03-01T12:00:00",
        "2026-03-01 12:00:00Z",
        "2026-03-01T12:00Z",
        "2026-03-01T12:00:00+0100",
        "2026-03-01T12:00:00+24:00",
        "2026-03-01T12:00:00 01:00",
        "2026-02-30T12:00:00Z",
        "2026-03-01T25:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "12026-03-01T12:00:00Z",
        "1772366400",
        "1e400",
        "2026-03-01T12:00:00Z\x00",
        "\uff12026-03-01T12:00:00Z",
        "9" * 5_000,
    ],
    ids=lambda text: text[:30].encode("unicode_escape").decode(),
)
async def test_a_time_that_is_not_rfc_3339_with_its_offset_is_refused(customer: Caller, created_after: str) -> None:
    problem = assert_problem(await customer.get("/v1/orders", created_after=created_after), 422, "invalid_request")

    assert [error["field"] for error in problem["errors"]] == ["created_after"]


@pytest.mark.parametrize("created_after", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
async def test_the_ends_of_time_are_times(buyer: Caller, bought: list[dict[str, Any]], created_after: str) -> None:
    expected = [order["id"] for order in bought if order["created_at"] > created_after]

    assert await pages(buyer, 100, created_after=created_after) == [expected]


@pytest.mark.parametrize("sku", ["", "-a", "a b", "x" * 65, "%", "a\x00", "é"], ids=ascii)
async def test_what_cannot_be_a_sku_is_refused(customer: Caller, sku: str) -> None:
    problem = assert_problem(await customer.get("/v1/orders", sku=sku), 422, "invalid_request")

    assert [error["field"] for error in problem["errors"]] == ["sku"]


async def test_every_bad_parameter_is_named(customer: Caller) -> None:
    answer = await customer.get("/v1/orders", status="lost", created_after="now", sku="?", limit="0")

    problem = assert_problem(answer, 422, "invalid_request")
    assert {error["field"] for error in problem["errors"]} == {"status", "created_after", "sku", "limit"}
