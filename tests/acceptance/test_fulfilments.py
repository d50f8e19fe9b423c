"""Orders as real shops have them: split over warehouses, short of something, sent elsewhere, delivered."""

import asyncio
import itertools
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio.testing import TimeSkipper

from contracts.ids import fulfilment_id, order_id_for, order_workflow_id
from tests.acceptance.client import (
    ADA,
    BIKE,
    POLL_S,
    TEE,
    WITHIN_S,
    Caller,
    Door,
    assert_problem,
    new_key,
    order_body,
)
from tests.shop import Shop

PRICE = 1_250
LYON = {**ADA, "line1": "4 Rue Neuve", "city": "Lyon", "postal_code": "69001", "country": "FR"}

_numbers = itertools.count(1)


async def goods(operator: Caller, on_hand: Any) -> str:
    """Something new on sale."""
    sku = f"AT-LAMP-{uuid4().hex[:8]}-{next(_numbers)}"
    body = {"name": "Lamp", "price": {"amount": PRICE, "currency": "usd"}, "on_hand": on_hand}
    answer = await operator.put(f"/v1/admin/catalogue/{sku}", body)
    assert answer.status_code == 200, answer.text
    return sku


def lines(**quantities: int) -> list[dict[str, Any]]:
    return [{"sku": sku, "quantity": quantity} for sku, quantity in quantities.items()]


async def act(caller: Caller, order_id: str, action: Any) -> Any:
    return await caller.post(f"/v1/orders/{order_id}/customer-action", json={"action": action})


async def short(customer: Caller, operator: Caller) -> dict[str, Any]:
    """An order of which a lamp too many and a whole line are not to be had."""
    scarce, gone = await goods(operator, {"wh_oslo": 2}), await goods(operator, 0)
    placed = await customer.placed(lines=lines(**{scarce: 3, gone: 1, TEE: 1}))
    return await customer.until(placed["id"], "awaiting_customer")


def parts(order: dict[str, Any]) -> list[tuple[str | None, dict[str, int], str, int]]:
    return [
        (
            one["warehouse"],
            {line["sku"]: line["quantity"] for line in one["lines"]},
            one["status"],
            one["amount"]["amount"],
        )
        for one in order["fulfilments"]
    ]


async def test_an_order_is_split_over_the_fewest_warehouses_each_paid_and_shipped_by_itself(
    customer: Caller, operator: Caller, shop: Shop
) -> None:
    lamp = await goods(operator, {"wh_lyon": 1, "wh_oslo": 3, "wh_rome": 2})
    placed = await customer.placed(lines=lines(**{lamp: 4}))

    order = await customer.until(placed["id"], "completed")

    assert parts(order) == [
        ("wh_lyon", {lamp: 1}, "shipped", PRICE),
        ("wh_oslo", {lamp: 3}, "shipped", 3 * PRICE),
    ]
    assert [one["id"] for one in order["fulfilments"]] == [f"{order['id']}-1", f"{order['id']}-2"]
    assert order["payment"] == {
        "status": "charged",
        "amount": {"amount": 4 * PRICE, "currency": "usd"},
        "charge_id": None,
        "refund_id": None,
    }
    effects = await shop.ledger.effects(order["id"])
    assert sorted(row["amount"] for row in effects.charges) == [PRICE, 3 * PRICE]
    assert effects.shipment_statuses == ["booked", "booked"]
    for one in order["fulfilments"]:
        assert one["charge"]["status"] == "charged"
        assert one["charge"]["amount"] == one["amount"]
        assert one["charge"]["id"]
        assert one["shipment"]["status"] == "booked"
        assert one["delivered_at"] is None
    assert len({one["shipment"]["id"] for one in order["fulfilments"]}) == 2


async def test_what_is_nowhere_to_be_had_is_asked_of_the_customer_while_the_rest_is_held(
    customer: Caller, operator: Caller, shop: Shop
) -> None:
    order = await short(customer, operator)

    scarce, gone = order["lines"][0]["sku"], order["lines"][1]["sku"]
    assert parts(order) == [
        ("wh_default", {TEE: 1}, "pending", 1_999),
        ("wh_oslo", {scarce: 2}, "pending", 2 * PRICE),
        (None, {scarce: 1, gone: 1}, "unavailable", 2 * PRICE),
    ]
    assert order["removed_lines"] == []
    assert order["timeline"][-1]["type"] == "customer_asked"
    assert (await shop.stock(scarce)).reserved == 2
    assert (await shop.ledger.effects(order["id"])).charges == ()


async def test_an_amended_order_goes_on_without_what_is_not_to_be_had(
    customer: Caller, operator: Caller, shop: Shop
) -> None:
    asked = await short(customer, operator)
    scarce, gone = asked["lines"][0]["sku"], asked["lines"][1]["sku"]

    answer = await act(customer, asked["id"], "amend")

    assert answer.status_code == 200
    assert answer.json()["total"]["amount"] == 2 * PRICE + 1_999
    order = await customer.until(asked["id"], "completed")
    assert {line["sku"]: line["quantity"] for line in order["lines"]} == {scarce: 2, TEE: 1}
    assert {line["sku"]: line["quantity"] for line in order["removed_lines"]} == {scarce: 1, gone: 1}
    assert order["total"]["amount"] == 2 * PRICE + 1_999
    assert [one["status"] for one in order["fulfilments"]] == ["shipped", "shipped", "cancelled"]
    assert (await shop.ledger.effects(order["id"])).money_kept == 2 * PRICE + 1_999
    listed = (await customer.get("/v1/orders")).json()["items"]
    assert [(one["id"], one["total"], one["removed_lines"]) for one in listed] == [
        (order["id"], order["total"], order["removed_lines"])
    ]
    assert_problem(await act(customer, order["id"], "amend"), 409, "no_action_required")


async def test_an_amended_order_that_is_still_over_the_threshold_waits_for_approval(
    customer: Caller, operator: Caller
) -> None:
    gone = await goods(operator, 0)
    placed = await customer.placed(lines=lines(**{BIKE: 1, gone: 1}))
    await customer.until(placed["id"], "awaiting_customer")

    assert (await act(customer, placed["id"], "amend")).json()["status"] == "awaiting_approval"

    assert (await operator.post(f"/v1/admin/orders/{placed['id']}/approve")).status_code == 202
    await customer.until(placed["id"], "completed")


@pytest.mark.parametrize("how", ["customer-action", "cancel"])
async def test_a_customer_who_wants_all_or_nothing_gets_everything_released(
    customer: Caller, operator: Caller, shop: Shop, how: str
) -> None:
    asked = await short(customer, operator)

    body = {"action": "cancel"} if how == "customer-action" else None
    answer = await customer.post(f"/v1/orders/{asked['id']}/{how}", json=body)

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    order = await customer.order(asked["id"])
    assert order["failure"]["code"] == "cancelled_by_customer"
    assert {one["status"] for one in order["fulfilments"]} == {"cancelled"}
    assert (await shop.stock(asked["lines"][0]["sku"])).reserved == 0
    assert (await shop.ledger.effects(order["id"])).charges == ()


@pytest.mark.parametrize("action", ["wait", "AMEND", "", None, 1, ["amend"]])
async def test_an_unknown_action_is_refused_and_the_order_goes_on_waiting(
    customer: Caller, operator: Caller, action: Any
) -> None:
    asked = await short(customer, operator)

    problem = assert_problem(await act(customer, asked["id"], action), 422, "invalid_request")

    assert [error["field"] for error in problem["errors"]] == ["action"]
    assert (await customer.order(asked["id"]))["status"] == "awaiting_customer"


async def test_an_action_when_none_is_asked_for_is_refused(customer: Caller, operator: Caller) -> None:
    waiting = await customer.placed(sku=BIKE, quantity=1)
    await customer.until(waiting["id"], "awaiting_approval")

    for action in ("amend", "cancel"):
        assert_problem(await act(customer, waiting["id"], action), 409, "no_action_required")
    assert (await customer.order(waiting["id"]))["status"] == "awaiting_approval"


async def test_only_the_first_of_many_answers_counts(customer: Caller, operator: Caller) -> None:
    asked = await short(customer, operator)

    answers = await asyncio.gather(*(act(customer, asked["id"], "amend") for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    await customer.until(asked["id"], "completed")


async def test_another_customers_order_cannot_be_answered_or_sent_elsewhere(
    customer: Caller, operator: Caller, door: Door
) -> None:
    asked = await short(customer, operator)
    stranger = door.customer()

    assert_problem(await act(stranger, asked["id"], "amend"), 404, "not_found")
    patched = await stranger.patch(f"/v1/orders/{asked['id']}/shipping-address", LYON)
    assert_problem(patched, 404, "not_found")
    reader = door.customer("orders:read")
    assert_problem(await act(reader, asked["id"], "amend"), 403, "forbidden")
    assert (await customer.order(asked["id"]))["status"] == "awaiting_customer"


async def test_an_order_of_which_nothing_is_to_be_had_is_rejected_at_once(customer: Caller, operator: Caller) -> None:
    gone = await goods(operator, {"wh_oslo": 0})
    placed = await customer.placed(lines=lines(**{gone: 2}))

    order = await customer.until(placed["id"], "rejected")

    assert order["failure"]["code"] == "out_of_stock"
    assert parts(order) == [(None, {gone: 2}, "unavailable", 2 * PRICE)]


async def test_a_part_that_the_carrier_refuses_is_refunded_alone(
    customer: Caller, operator: Caller, shop: Shop
) -> None:
    lamp = await goods(operator, {"wh_lyon": 1, "wh_oslo": 1})
    key = new_key()
    order_id = order_id_for(customer.subject, key)
    await shop.ledger.misbehave(fulfilment_id(order_id, 2), "ship", "decline")
    assert (await customer.place(order_body(sku=lamp, quantity=2), key)).json()["id"] == order_id

    order = await customer.until(order_id, "partially_completed")

    assert [one["status"] for one in order["fulfilments"]] == ["shipped", "failed"]
    assert order["failure"]["code"] == order["fulfilments"][1]["failure"]["code"] == "shipping_failed"
    assert order["payment"]["status"] == "partially_charged"
    assert order["payment"]["amount"]["amount"] == PRICE
    assert order["fulfilments"][1]["charge"]["status"] == "refunded"
    assert order["fulfilments"][1]["charge"]["refund_id"]
    assert order["timeline"][-1]["type"] == "partially_completed"
    assert (await shop.ledger.effects(order["id"])).money_kept == PRICE
    assert_problem(await customer.post(f"/v1/orders/{order['id']}/cancel"), 409, "too_late")


async def test_an_order_that_waits_can_be_sent_elsewhere(customer: Caller, operator: Caller) -> None:
    placed = await customer.placed(sku=BIKE, quantity=1)
    await customer.until(placed["id"], "awaiting_approval")

    answer = await customer.patch(f"/v1/orders/{placed['id']}/shipping-address", LYON)

    assert answer.status_code == 200
    assert answer.json()["ship_to"] == {**LYON, "line2": None}
    assert answer.json()["timeline"][-1]["type"] == "address_changed"
    assert "Rue" not in str(answer.json()["timeline"])
    # As orders are placed with it, it may come under its name.
    named = await customer.patch(f"/v1/orders/{placed['id']}/shipping-address", {"ship_to": ADA})
    assert named.json()["ship_to"] == {**ADA, "line2": None}
    assert (await operator.post(f"/v1/admin/orders/{placed['id']}/approve")).status_code == 202
    order = await customer.until(placed["id"], "completed")
    assert order["ship_to"] == {**ADA, "line2": None}
    assert_problem(await customer.patch(f"/v1/orders/{placed['id']}/shipping-address", LYON), 409, "too_late")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"line1": "Rue Neuve"}, "line1"),
        ({"line1": ""}, "line1"),
        ({"country": "XX"}, "country"),
        ({"city": None}, "city"),
        ({"planet": "Earth"}, "planet"),
    ],
)
async def test_a_wrong_address_is_refused_and_nothing_changes(
    customer: Caller, changes: dict[str, Any], field: str
) -> None:
    placed = await customer.placed(sku=BIKE, quantity=1)
    await customer.until(placed["id"], "awaiting_approval")

    refused = await customer.patch(f"/v1/orders/{placed['id']}/shipping-address", {**LYON, **changes})

    assert [error["field"] for error in assert_problem(refused, 422, "invalid_request")["errors"]] == [field]
    assert (await customer.order(placed["id"]))["ship_to"] == {**ADA, "line2": None}


async def test_half_an_address_is_refused(customer: Caller) -> None:
    placed = await customer.placed(sku=BIKE, quantity=1)

    refused = await customer.patch(f"/v1/orders/{placed['id']}/shipping-address", {"city": "Lyon"})

    assert_problem(refused, 422, "invalid_request")


async def test_a_delivery_follows_on_the_fulfilment_after_the_order_is_completed(customer: Caller, shop: Shop) -> None:
    placed = await customer.placed()
    completed = await customer.until(placed["id"], "completed")

    await shop.ledger.travels(placed["id"], "dispatched", "delivered", delay_s=0.1)

    async with asyncio.timeout(WITHIN_S):
        while (order := await customer.order(placed["id"]))["fulfilments"][0]["status"] != "delivered":
            await asyncio.sleep(POLL_S)
    [fulfilment] = order["fulfilments"]
    [dispatched, delivered] = await shop.ledger.until_told(placed["id"], 2)
    told = datetime.fromisoformat(delivered["occurred_at"])
    assert datetime.fromisoformat(fulfilment["delivered_at"]) == told
    assert fulfilment["shipment"]["status"] == "delivered"
    assert datetime.fromisoformat(fulfilment["shipment"]["dispatched_at"]) == datetime.fromisoformat(
        dispatched["occurred_at"]
    )
    for name in ("status", "timeline", "updated_at", "payment"):
        assert order[name] == completed[name]


async def test_an_address_is_fixed_while_the_carrier_is_asked(customer: Caller, shop: Shop) -> None:
    key = new_key()
    order_id = order_id_for(customer.subject, key)
    await shop.ledger.misbehave(order_id, "ship", "unavailable", times=None)
    await customer.place(order_body(), key)
    async with asyncio.timeout(WITHIN_S):
        await shop.ledger.until_asked(order_id, 2)

    refused = await customer.patch(f"/v1/orders/{order_id}/shipping-address", LYON)

    assert_problem(refused, 409, "too_late")
    await shop.ledger.behave()
    assert (await customer.until(order_id, "completed"))["ship_to"] == {**ADA, "line2": None}


async def test_an_order_of_which_every_part_fails_is_rejected(customer: Caller, operator: Caller, shop: Shop) -> None:
    lamp = await goods(operator, {"wh_lyon": 1, "wh_oslo": 1})
    placed = await customer.placed(sku=lamp, quantity=2, payment_method="pm_card_visa_chargeDeclined")

    order = await customer.until(placed["id"], "rejected")

    assert order["failure"]["code"] == "payment_declined"
    assert [one["status"] for one in order["fulfilments"]] == ["failed", "failed"]
    assert order["payment"]["status"] == "declined"
    assert (await shop.stock(lamp)).reserved == 0


async def test_a_customer_who_never_answers_is_told_why_the_order_was_cancelled(
    customer: Caller, operator: Caller, shop: Shop
) -> None:
    asked = await short(customer, operator)
    handle = shop.client.get_workflow_handle(order_workflow_id(asked["id"]))

    async with asyncio.timeout(WITHIN_S):
        await TimeSkipper(shop.client).fast_forward(handle, timedelta(hours=73))

    order = await customer.until(asked["id"], "cancelled")
    assert order["failure"]["code"] == "customer_timed_out"
    assert (await shop.stock(asked["lines"][0]["sku"])).reserved == 0
