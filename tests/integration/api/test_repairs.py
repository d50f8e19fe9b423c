"""Operators' repairs over HTTP, of orders that the shop parks within seconds."""

from datetime import timedelta

import httpx
from sqlalchemy import select

from contracts.orders import OrderStatus
from database.tables import orders
from tests.acceptance.client import Caller, Door, assert_problem
from tests.shop import Shop, ShopOrder
from tests.stack_session import RunningStack

FOR_LONG = 1_000


async def parked(shop: Shop) -> ShopOrder:
    """An order that the carrier did not take for longer than it is retried."""
    order = await shop.order(retry_window_s=1)
    await order.meets("ship", "error_before", times=FOR_LONG)
    await order.start()
    await order.parked()
    return order


async def test_a_parked_order_goes_on_when_an_operator_says_so(shop: Shop, operator: Caller) -> None:
    order = await parked(shop)
    await shop.ledger.behave()

    answer = await operator.post(f"/v1/admin/orders/{order.id}/retry", json={"note": "the carrier is back"})

    assert answer.status_code == 200, answer.text
    assert answer.json()["source"] == "workflow"
    (retried,) = (entry for entry in answer.json()["timeline"] if entry["type"] == "retried")
    assert retried["detail"] == "olga: the carrier is back"
    assert (await order.settled()).status is OrderStatus.COMPLETED
    assert_problem(await operator.post(f"/v1/admin/orders/{order.id}/retry"), 409, "not_parked")


async def test_a_parked_order_is_closed_by_hand(shop: Shop, operator: Caller) -> None:
    order = await parked(shop)
    await shop.ledger.behave()
    url = f"/v1/admin/orders/{order.id}/resolve"

    assert_problem(await operator.post(url, json={"status": "partially_completed"}), 409, "books_contradict")
    answer = await operator.post(url, json={"status": "cancelled", "note": "the customer gave up"})

    assert answer.status_code == 200, answer.text
    # What takes long to undo goes on after the answer.
    assert answer.json()["status"] in ("processing", "cancelled")
    assert (await order.settled()).status is OrderStatus.CANCELLED
    assert_problem(await operator.post(url, json={"status": "cancelled"}), 409, "not_parked")


async def test_operators_alone_repair(shop: Shop, door: Door) -> None:
    order = await shop.place(amount=60_000)
    await order.until(OrderStatus.AWAITING_APPROVAL)
    for verb in ("retry", "resolve", "approve", "reject"):
        answer = await door.customer("orders:write").post(f"/v1/admin/orders/{order.id}/{verb}")
        assert_problem(answer, 403, "forbidden")


async def test_a_workflow_that_did_not_come_from_the_api_is_no_order_until_it_is_booked(
    shop: Shop, operator: Caller
) -> None:
    order = await shop.order()
    await order.start(start_delay=timedelta(seconds=1))

    assert_problem(await operator.get(f"/v1/orders/{order.id}"), 404, "not_found")
    await order.settled()
    assert (await operator.order(order.id))["status"] == "completed"


async def test_a_cancel_that_our_books_have_not_decided_is_not_answered_as_if_they_had(
    shop: Shop, http: httpx.AsyncClient, stack: RunningStack
) -> None:
    order = await shop.place(amount=60_000)
    customer = Caller(http, stack, order.placed.customer_id, "orders:write")
    await order.until(OrderStatus.AWAITING_APPROVAL)
    url = f"/v1/orders/{order.id}/cancel"

    async with shop.engine.begin() as connection:
        await connection.execute(select(orders.c.id).where(orders.c.id == order.id).with_for_update())
        assert_problem(await customer.post(url), 503, "temporarily_unavailable")

    assert (await order.settled()).status is OrderStatus.CANCELLED
    assert (await customer.post(url)).json()["status"] == "cancelled"
