"""An operator's day, over HTTP: the carrier is away, twenty orders park; they are found, understood and retried."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from contracts.orders import OrderStatus
from tests.acceptance.client import Caller
from tests.bulk import BULK, started
from tests.letters import audited, dead
from tests.shop import Shop

ORDERS = 20
UNITS = 100


@pytest.fixture
async def outage(shop: Shop) -> AsyncIterator[None]:
    """The carrier is away until it behaves again, or the test is over."""
    await shop.ledger.misbehave("*", "ship", "unavailable", times=None)
    yield
    await shop.ledger.behave()


@pytest.mark.usefixtures("outage")
async def test_an_operator_finds_understands_and_repairs_what_an_outage_of_the_carrier_left(
    shop: Shop, operator: Caller
) -> None:
    customer = f"customer-{uuid4().hex}"
    product = await shop.goods(on_hand=UNITS)
    orders = [shop.order_of(product, customer_id=customer, retry_window_s=1) for _ in range(ORDERS)]
    ids = {order.id for order in orders}
    await asyncio.gather(*(order.start() for order in orders))
    await asyncio.gather(*(order.parked() for order in orders))

    # What is stuck?
    listed = (await operator.get("/v1/orders", status="needs_attention", sku=product.sku, limit=100)).json()
    assert {order["id"] for order in listed["items"]} == ids
    found = await dead(operator, kind="order", subject=customer, limit=100)
    assert {letter["id"] for letter in found["items"]} == ids

    # Why?
    assert [(one["reason"], one["count"]) for one in found["counts"]] == [("stuck_at_ship", ORDERS)]
    one = (await operator.get(f"/v1/orders/{orders[0].id}")).json()
    assert one["status"] == "needs_attention"
    assert one["timeline"][-1]["type"] == "needs_attention"
    assert "left to do: hand the order to the carrier" in one["timeline"][-1]["detail"]
    effects = await shop.ledger.effects(orders[0].id)
    assert (effects.money_kept, effects.shipments) == (product.price.amount, ())

    # The carrier says that it is back.
    await shop.ledger.behave()
    wanted = {"kind": "order", "reason": "stuck_at_ship", "subject": customer}
    preview = (await operator.post(f"{BULK}/preview", json={"action": "retry", "filter": wanted})).json()
    assert preview["matching"] == ORDERS
    assert {letter["id"] for letter in preview["sample"]} < ids
    bulk = await started(
        operator, wanted, expected=preview["matching"], per_second=20, note="the carrier is back, ticket 4711"
    )
    repaired = await bulk.finished()

    # All are well, by every witness.
    assert (repaired["counts"]["done"], repaired["not_done"]) == (ORDERS, [])
    for order in orders:
        evidence = await order.settled_evidence()
        assert evidence.status is OrderStatus.COMPLETED
        assert evidence.effects.money_kept == product.price.amount
        assert evidence.effects.shipment_statuses == ["booked"]
        assert (await operator.order(order.id))["status"] == "completed"
    assert (await dead(operator, kind="order", subject=customer))["total"] == 0
    stock = await shop.stock(product.sku)
    assert (stock.on_hand, stock.reserved) == (UNITS - ORDERS, 0)

    # And the audit log tells the story: who began what and why, and what became of each order by it.
    [begun] = await audited(operator, subject=bulk.id)
    assert (begun["action"], begun["actor"], begun["note"]) == ("bulk.start", "olga", repaired["note"])
    assert begun["after"] == {"action": "retry", "filter": wanted, "per_second": 20.0, "total": ORDERS}
    for order in orders:
        [entry] = await audited(operator, subject=order.id)
        assert (entry["action"], entry["actor"], entry["note"]) == ("order.retry", "olga", repaired["note"])
        assert (entry["before"], entry["after"]) == ({"status": "needs_attention"}, {"status": "processing"})
        assert entry["request_id"] == begun["request_id"] == bulk.request_id
        assert entry["at"] >= begun["at"]
