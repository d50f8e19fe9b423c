"""Orders come as CSV: those that fit the filters and are the caller's, safe to open in a spreadsheet."""

import csv
import io
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance.client import ADA, BIKE, TEE, Caller, Door, assert_problem, order_body

COLUMNS = [
    *("id", "status", "customer_id", "created_at", "updated_at", "total_amount", "currency", "units", "skus"),
    *("ship_to_city", "ship_to_country", "failure_code"),
]
DECLINED = "pm_card_visa_chargeDeclined"
FORMULAS = ['=HYPERLINK("http://evil.example","Oslo")', "+1+1", "-2+3", "@SUM(A1)"]


@pytest.fixture(scope="module")
async def buyer(door: Door) -> Caller:
    return door.customer()


@pytest.fixture(scope="module")
async def bought(buyer: Caller) -> list[dict[str, Any]]:
    """Orders of each kind, newest first, as they stay."""
    both = [{"sku": TEE, "quantity": 2}, {"sku": BIKE, "quantity": 1}]
    wanted: list[tuple[str, dict[str, Any]]] = [
        ("completed", order_body()),
        ("rejected", order_body(payment_method=DECLINED)),
        ("awaiting_approval", order_body(lines=both)),
        ("completed", order_body(quantity=3)),
    ]
    orders = []
    for status, body in wanted:
        placed = await buyer.place(body)
        assert placed.status_code == 202, placed.text
        orders.append(await buyer.until(placed.json()["id"], status))
    return orders[::-1]


async def export(caller: Caller, **filters: str) -> list[dict[str, str]]:
    """The records, by column."""
    answer = await caller.get("/v1/orders.csv", **filters)
    assert answer.status_code == 200, answer.text
    header, *records = csv.reader(io.StringIO(answer.content.decode(), newline=""), strict=True)
    assert header == COLUMNS
    return [dict(zip(header, record, strict=True)) for record in records]


def record_of(order: dict[str, Any]) -> dict[str, str]:
    return {
        "id": order["id"],
        "status": order["status"],
        "customer_id": order["customer_id"],
        "created_at": order["created_at"],
        "updated_at": order["updated_at"],
        "total_amount": str(order["total"]["amount"]),
        "currency": order["total"]["currency"],
        "units": str(sum(line["quantity"] for line in order["lines"])),
        "skus": " ".join(line["sku"] for line in order["lines"]),
        "ship_to_city": order["ship_to"]["city"],
        "ship_to_country": order["ship_to"]["country"],
        "failure_code": order["failure"]["code"] if order["failure"] else "",
    }


async def test_an_export_says_of_each_order_what_the_list_says_in_the_same_order(
    buyer: Caller, bought: list[dict[str, Any]]
) -> None:
    listed = (await buyer.get("/v1/orders")).json()["items"]

    assert [order["id"] for order in listed] == [order["id"] for order in bought]
    assert await export(buyer) == [record_of(order) for order in listed]


@pytest.mark.parametrize("sku", [None, TEE, BIKE, "AT-NEVER-SOLD"], ids=str)
@pytest.mark.parametrize("status", [None, "completed", "rejected", "cancelled"], ids=str)
async def test_an_export_has_what_fits_every_filter_and_nothing_else(
    buyer: Caller, bought: list[dict[str, Any]], status: str | None, sku: str | None
) -> None:
    for created_after in (None, *(order["created_at"] for order in bought)):
        asked = {"status": status, "created_after": created_after, "sku": sku}

        found = await export(buyer, **{name: value for name, value in asked.items() if value is not None})

        assert [record["id"] for record in found] == [
            order["id"]
            for order in bought
            if (status is None or order["status"] == status)
            and (created_after is None or order["created_at"] > created_after)
            and (sku is None or sku in [line["sku"] for line in order["lines"]])
        ]


async def test_it_is_csv_in_utf_8_with_a_header_to_be_saved(buyer: Caller, bought: list[dict[str, Any]]) -> None:
    answer = await buyer.get("/v1/orders.csv")

    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == 'attachment; filename="orders.csv"'
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content.startswith(",".join(COLUMNS).encode() + b"\r\n")
    assert answer.content.count(b"\r\n") == answer.content.count(b"\n") == len(bought) + 1


async def test_whoever_has_no_orders_gets_a_header(door: Door) -> None:
    answer = await door.customer().get("/v1/orders.csv")

    assert answer.content == ",".join(COLUMNS).encode() + b"\r\n"


async def test_a_customer_gets_their_own_orders_and_an_operator_everybodys(
    door: Door, buyer: Caller, bought: list[dict[str, Any]]
) -> None:
    other = door.customer()
    placed = await bought_and_sent_to(other, "Oslo")
    mine = {order["id"] for order in bought}

    assert [record["id"] for record in await export(other)] == [placed["id"]]
    assert {record["id"] for record in await export(buyer)} == mine
    since = {"created_after": bought[-1]["created_at"]}
    all_since = {record["id"] for record in await export(door.operator(), **since)}
    assert all_since >= (mine - {bought[-1]["id"]}) | {placed["id"]}


@pytest.mark.parametrize("formula", FORMULAS)
async def test_what_a_spreadsheet_would_take_for_a_formula_is_text(door: Door, formula: str) -> None:
    mallory = Caller(door.http, door.stack, f"{formula}-{uuid4().hex[:6]}", "orders:write")
    await bought_and_sent_to(mallory, formula)

    (record,) = await export(mallory)

    assert record["ship_to_city"] == f"'{formula}"
    assert record["customer_id"] == f"'{mallory.subject}"
    assert (record["total_amount"], record["units"]) == ("3998", "2")


@pytest.mark.parametrize("city", ['Zürich, "Old" Town', "東京 🗼", "'s-Hertogenbosch", "a=b+c-d@e"])
async def test_what_is_no_formula_comes_as_it_was_sent(customer: Caller, city: str) -> None:
    await bought_and_sent_to(customer, city)

    (record,) = await export(customer)

    assert record["ship_to_city"] == city


async def bought_and_sent_to(customer: Caller, city: str) -> dict[str, Any]:
    placed = await customer.placed(ship_to={**ADA, "city": city})
    return await customer.until(placed["id"], "completed")


@pytest.mark.parametrize(
    ("field", "value"),
    [("status", "lost"), ("created_after", "yesterday"), ("sku", "no sku!"), ("cursor", "x"), ("limit", "5")],
)
async def test_a_filter_that_is_not_valid_is_named(customer: Caller, field: str, value: str) -> None:
    problem = assert_problem(await customer.get("/v1/orders.csv", **{field: value}), 422, "invalid_request")

    assert [error["field"] for error in problem["errors"]] == [field]


async def test_it_takes_a_token_that_may_read_orders(door: Door) -> None:
    assert_problem(await door.http.get("/v1/orders.csv"), 401, "unauthenticated")
    assert_problem(await door.customer("webhooks:write").get("/v1/orders.csv"), 403, "forbidden")
    assert await export(door.customer("orders:read")) == []
