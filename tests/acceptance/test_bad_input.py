"""Whatever is sent, it is refused in words, and never breaks anything."""

import json
from typing import Any

import httpx
import pytest

from tests.acceptance.client import ADA, EURO_TEE, GOLD, TEE, Caller, assert_problem, new_key, order_body

LINE = {"sku": TEE, "quantity": 1}
UNKNOWN = "/v1/orders/ord_00000000000000000000000000"


def quantity(value: Any) -> dict[str, Any]:
    return order_body(lines=[{"sku": TEE, "quantity": value}])


def ship_to(**changes: Any) -> dict[str, Any]:
    return order_body(ship_to={**ADA, **changes})


INVALID_BODIES = {
    "no lines": (order_body(lines=[]), "lines"),
    "101 lines": (order_body(lines=[{"sku": f"S{n}", "quantity": 1} for n in range(101)]), "lines"),
    "the same SKU twice": (order_body(lines=[LINE, LINE]), "lines"),
    "quantity 0": (quantity(0), "lines.0.quantity"),
    "quantity -1": (quantity(-1), "lines.0.quantity"),
    "quantity 1001": (quantity(1_001), "lines.0.quantity"),
    "quantity 1.5": (quantity(1.5), "lines.0.quantity"),
    "quantity as text": (quantity("2"), "lines.0.quantity"),
    "quantity true": (quantity(True), "lines.0.quantity"),
    "quantity null": (quantity(None), "lines.0.quantity"),
    "a huge quantity": (quantity(10**400), "lines.0.quantity"),
    "an unknown field": (order_body(price=1), "price"),
    "an unknown field of a line": (order_body(lines=[{**LINE, "unit_price": 1}]), "lines.0.unit_price"),
    "an empty ship_to": (order_body(ship_to={}), "ship_to.name"),
    "ship_to null": (order_body(ship_to=None), "ship_to"),
    "an empty name": (ship_to(name=""), "ship_to.name"),
    "a blank city": (ship_to(city="  "), "ship_to.city"),
    "an endless street": (ship_to(line1="x" * 201), "ship_to.line1"),
    "a number for a name": (ship_to(name=1), "ship_to.name"),
    "a country that doesn't exist": (ship_to(country="XX"), "ship_to.country"),
    "a country in small letters": (ship_to(country="no"), "ship_to.country"),
    "a country by name": (ship_to(country="Norway"), "ship_to.country"),
    "NUL in a name": (ship_to(name="A\x00da"), "ship_to.name"),
    "NUL in a SKU": (order_body(lines=[{"sku": "A\x00", "quantity": 1}]), "lines.0.sku"),
    "no payment method": ({"lines": [LINE], "ship_to": ADA}, "payment_method"),
    "an odd payment method": (order_body(payment_method="card"), "payment_method"),
    "an endless payment method": (order_body(payment_method="pm_" + "x" * 300), "payment_method"),
    "a list": ([], "body"),
    "a number": (1, "body"),
}


@pytest.mark.parametrize(("body", "field"), INVALID_BODIES.values(), ids=INVALID_BODIES.keys())
async def test_an_invalid_order_is_refused_with_the_name_of_the_field(customer: Caller, body: Any, field: str) -> None:
    answer = await customer.post("/v1/orders", {"Idempotency-Key": new_key()}, json=body)

    problem = assert_problem(answer, 422, "invalid_request")
    assert field in [error["field"] for error in problem["errors"]]
    assert all(error["message"] for error in problem["errors"])


def text(quantity: str = "1", name: str = '"Ada"') -> bytes:
    """An order with a value written as no JSON library would write it."""
    order = json.dumps(order_body(quantity=1)).replace('"quantity": 1', f'"quantity": {quantity}')
    return order.replace('"name": "Ada"', f'"name": {name}').encode("utf-8", "surrogatepass")


ODD_BYTES = {
    "1e400": (text(quantity="1e400"), {422}),
    "NaN": (text(quantity="NaN"), {400, 422}),
    "Infinity": (text(quantity="-Infinity"), {400, 422}),
    "a number of 5,000 digits": (text(quantity="9" * 5_000), {400, 422}),
    "an escaped NUL": (text(name='"\\u0000"'), {422}),
    "a lone surrogate": (text(name='"\\ud800"'), {422}),
    "a lone surrogate in a field's name": (b'{"\\ud800": 1}', {422}),
    "invalid JSON": (b'{"lines": ', {400}),
    "nothing": (b"", {422}),
    "20,000 opening brackets": (b"[" * 20_000, {400}),
    "20,000 opening braces": (b'{"a":' * 20_000, {400}),
    "900 arrays in each other": (b"[" * 900 + b"]" * 900, {422}),
    "20,000 unknown fields": (b"{" + b",".join(b'"%d":1' % n for n in range(20_000)) + b"}", {422}),
    "invalid UTF-8": (b'{"lines": "\xff\xfe"}', {400}),
    "a surrogate in UTF-8": (text(name='"\ud800"'), {400, 422}),
    "null": (b"null", {422}),
}


@pytest.mark.parametrize(("body", "statuses"), ODD_BYTES.values(), ids=ODD_BYTES.keys())
async def test_odd_bytes_are_refused(customer: Caller, body: bytes, statuses: set[int]) -> None:
    headers = {"Idempotency-Key": new_key(), "Content-Type": "application/json"}

    answer = await customer.post("/v1/orders", headers, content=body)

    assert answer.status_code in statuses, answer.text[:300]
    assert_problem(answer, answer.status_code, "invalid_json" if answer.status_code == 400 else "invalid_request")
    assert len(answer.content) < 20_000


async def test_a_refusal_does_not_repeat_what_was_sent(customer: Caller) -> None:
    answer = await customer.place(order_body(ship_to={**ADA, "name": "", "country": "S3CRET"}, payment_method="S3CRET"))

    assert "S3CRET" not in answer.text


async def test_an_unknown_sku_is_named(customer: Caller) -> None:
    problem = assert_problem(await customer.place(order_body("no such thing")), 422, "unknown_sku")

    assert "no such thing" in problem["detail"]


async def test_an_order_has_one_currency(customer: Caller) -> None:
    lines = [LINE, {"sku": EURO_TEE, "quantity": 1}]

    assert_problem(await customer.place(order_body(lines=lines)), 422, "mixed_currencies")


async def test_an_order_costs_no_more_than_can_be_charged(customer: Caller) -> None:
    assert_problem(await customer.place(order_body(GOLD, 2)), 422, "total_too_large")


async def test_a_body_of_300_kib_is_too_large_with_a_length_told_or_not(customer: Caller) -> None:
    async def chunks() -> Any:
        for _ in range(300):
            yield b" " * 1_024

    headers = {"Idempotency-Key": new_key(), "Content-Type": "application/json"}
    for content in (b" " * 300 * 1_024, chunks()):
        assert_problem(await customer.post("/v1/orders", headers, content=content), 413, "request_too_large")
    assert_problem(await customer.post(f"{UNKNOWN}/cancel", content=b" " * 300 * 1_024), 413, "request_too_large")


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
)
async def test_a_body_must_say_that_it_is_json(customer: Caller, content_type: str | None) -> None:
    headers = {"Idempotency-Key": new_key()} | ({"Content-Type": content_type} if content_type is not None else {})

    assert_problem(await customer.post("/v1/orders", headers, content=text()), 415, "unsupported_media_type")


async def test_a_charset_may_be_named(customer: Caller) -> None:
    headers = {"Idempotency-Key": new_key(), "Content-Type": "Application/JSON; charset=utf-8"}

    assert (await customer.post("/v1/orders", headers, content=text())).status_code == 202


async def test_a_key_is_needed(customer: Caller) -> None:
    assert_problem(await customer.post("/v1/orders", json=order_body()), 400, "idempotency_key_missing")


@pytest.mark.parametrize("key", [b"", b"k" * 256, b"two words", "schlüssel".encode(), b"\xff", b"tab\there"])
async def test_a_key_is_visible_ascii(customer: Caller, key: bytes) -> None:
    headers = [*(customer.headers | {"Content-Type": "application/json"}).items()]
    raw = [(name.encode(), value.encode()) for name, value in headers] + [(b"Idempotency-Key", key)]

    answer = await customer.http.post("/v1/orders", headers=raw, content=text())

    assert_problem(answer, 400, "idempotency_key_invalid")


async def test_two_keys_are_none(customer: Caller) -> None:
    headers = [*customer.headers.items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]

    assert_problem(
        await customer.http.post("/v1/orders", headers=headers, json=order_body()), 400, "idempotency_key_invalid"
    )


NO_IDS = ["%00", "x" * 5_000, "ord_", "1", "..%2F..", "%FF", "%F0%9F%98%80", "ord_00000000000000000000000000%0A", "'--"]


@pytest.mark.parametrize("not_an_id", NO_IDS, ids=lambda text: text[:20])
async def test_what_is_no_id_names_no_order(customer: Caller, operator: Caller, not_an_id: str) -> None:
    assert_problem(await customer.get(f"/v1/orders/{not_an_id}"), 404, "not_found")
    assert_problem(await customer.post(f"/v1/orders/{not_an_id}/cancel"), 404, "not_found")
    for verb in ("approve", "reject", "retry"):
        assert_problem(await operator.post(f"/v1/admin/orders/{not_an_id}/{verb}"), 404, "not_found")


async def test_an_unknown_order_is_not_found(customer: Caller, operator: Caller) -> None:
    assert_problem(await customer.get(UNKNOWN), 404, "not_found")
    assert_problem(await customer.post(f"{UNKNOWN}/cancel"), 404, "not_found")
    admin = UNKNOWN.replace("/v1/", "/v1/admin/")
    for verb in ("approve", "reject", "retry"):
        assert_problem(await operator.post(f"{admin}/{verb}"), 404, "not_found")
    assert_problem(await operator.post(f"{admin}/resolve", json={"status": "cancelled"}), 404, "not_found")


@pytest.mark.parametrize("limit", ["-1", "0", "101", "1.5", "ten", "", "9" * 5_000, "%00"])
async def test_a_bad_limit_is_refused(customer: Caller, limit: str) -> None:
    problem = assert_problem(await customer.get(f"/v1/orders?limit={limit}"), 422, "invalid_request")

    assert problem["errors"][0]["field"] == "limit"


@pytest.mark.parametrize("cursor", ["made-up", "%00", "%ED%A0%80", "MTIz", "====", ""])
async def test_a_made_up_cursor_is_refused(customer: Caller, cursor: str) -> None:
    assert_problem(await customer.get(f"/v1/orders?cursor={cursor}"), 400, "invalid_cursor")


@pytest.mark.parametrize("query", ["status=lost", "status=", "state=completed", "limit=1&order_by=x"])
async def test_an_unknown_filter_is_refused(customer: Caller, query: str) -> None:
    assert_problem(await customer.get(f"/v1/orders?{query}"), 422, "invalid_request")


BAD_ITEMS: list[dict[str, Any]] = [
    {"price": {"amount": 0}},
    {"price": {"amount": 100_000_000}},
    {"price": {"amount": 1.5}},
    {"price": {"amount": 1, "currency": "USD"}},
    {"on_hand": -1},
    {"on_hand": 10**10},
    {"on_hand": "1"},
    {"name": ""},
    {"colour": "red"},
]


@pytest.mark.parametrize("change", BAD_ITEMS, ids=str)
async def test_a_bad_catalogue_item_is_refused(operator: Caller, change: dict[str, Any]) -> None:
    item = {"name": "a", "price": {"amount": 1}, "on_hand": 1, **change}

    assert_problem(await operator.put("/v1/admin/catalogue/AT-BAD", item), 422, "invalid_request")


@pytest.mark.parametrize("sku", ["%00", "x" * 65, "a%20b", "-a"])
async def test_a_bad_sku_is_refused(operator: Caller, sku: str) -> None:
    item = {"name": "a", "price": {"amount": 1}, "on_hand": 1}

    assert_problem(await operator.put(f"/v1/admin/catalogue/{sku}", item), 422, "invalid_request")


@pytest.mark.parametrize("body", [{"note": 1}, {"note": "x" * 501}, {"note": "\x00"}, {"notes": "x"}, []], ids=str)
async def test_a_bad_note_is_refused(operator: Caller, body: Any) -> None:
    answer = await operator.post(f"{UNKNOWN.replace('/v1/', '/v1/admin/')}/approve", json=body)

    assert_problem(answer, 422, "invalid_request")


@pytest.mark.parametrize("status", ["processing", "lost", None, 1])
async def test_an_order_is_resolved_with_a_final_status(operator: Caller, status: Any) -> None:
    answer = await operator.post(f"{UNKNOWN.replace('/v1/', '/v1/admin/')}/resolve", json={"status": status})

    assert_problem(answer, 422, "invalid_request")


async def test_what_does_not_exist_is_a_problem_too(customer: Caller, http: httpx.AsyncClient) -> None:
    assert_problem(await customer.get("/v1/nothing"), 404, "not_found")
    assert_problem(await http.get("/nothing"), 404, "not_found")
    not_allowed = await customer.put("/v1/orders", {})
    assert_problem(not_allowed, 405, "method_not_allowed")
    assert not_allowed.headers["allow"]
