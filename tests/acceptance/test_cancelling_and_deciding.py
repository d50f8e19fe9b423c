"""What customers and operators tell a running order."""

import asyncio

from tests.acceptance.client import BIKE, Caller, assert_problem


async def waiting(customer: Caller) -> str:
    """An order that waits for approval."""
    placed = await customer.placed(sku=BIKE, quantity=1)
    await customer.until(placed["id"], "awaiting_approval")
    order_id: str = placed["id"]
    return order_id


async def test_an_order_that_waits_can_be_cancelled_again_and_again(customer: Caller) -> None:
    order_id = await waiting(customer)

    first = await customer.post(f"/v1/orders/{order_id}/cancel")
    again = await customer.post(f"/v1/orders/{order_id}/cancel", json={})

    assert (first.status_code, again.status_code) == (200, 200)
    for order in (first.json(), again.json()):
        assert order["status"] == "cancelled"
        assert order["failure"]["code"] == "cancelled_by_customer"
        assert order["timeline"][-1]["type"] == "cancelled"
    assert (await customer.order(order_id))["status"] == "cancelled"


async def test_cancelling_many_times_at_once_gives_every_caller_the_same_answer(customer: Caller) -> None:
    order_id = await waiting(customer)

    answers = await asyncio.gather(*(customer.post(f"/v1/orders/{order_id}/cancel") for _ in range(10)))

    assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [(200, "cancelled")] * 10


async def test_a_cancel_right_after_the_order_gets_a_definite_answer(customer: Caller) -> None:
    placed = await customer.placed()

    answer = await customer.post(f"/v1/orders/{placed['id']}/cancel")

    if answer.status_code == 200:
        assert (await customer.until(placed["id"], "cancelled"))["failure"]["code"] == "cancelled_by_customer"
    else:
        assert_problem(answer, 409, "too_late")
        await customer.until(placed["id"], "completed")


async def test_a_completed_order_cannot_be_cancelled(customer: Caller) -> None:
    placed = await customer.placed()
    await customer.until(placed["id"], "completed")

    assert_problem(await customer.post(f"/v1/orders/{placed['id']}/cancel"), 409, "too_late")


async def test_cancelling_a_rejected_order_changes_nothing(customer: Caller) -> None:
    placed = await customer.placed(payment_method="pm_card_visa_chargeDeclined")
    await customer.until(placed["id"], "rejected")

    answer = await customer.post(f"/v1/orders/{placed['id']}/cancel")

    assert (answer.status_code, answer.json()["status"]) == (200, "rejected")


async def test_an_approved_order_goes_on(customer: Caller, operator: Caller) -> None:
    order_id = await waiting(customer)

    first = await operator.post(f"/v1/admin/orders/{order_id}/approve", json={"note": "a good customer"})
    again = await operator.post(f"/v1/admin/orders/{order_id}/approve")

    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"] == order_id
    order = await customer.until(order_id, "completed")
    (approved,) = (entry for entry in order["timeline"] if entry["type"] == "approved")
    assert "olga" in approved["detail"]
    assert (await operator.post(f"/v1/admin/orders/{order_id}/approve", json={})).status_code == 202
    assert_problem(await operator.post(f"/v1/admin/orders/{order_id}/reject"), 409, "not_awaiting_approval")


async def test_a_rejected_order_ends(customer: Caller, operator: Caller) -> None:
    order_id = await waiting(customer)

    first = await operator.post(f"/v1/admin/orders/{order_id}/reject")

    assert first.status_code == 202
    assert (await customer.until(order_id, "rejected"))["failure"]["code"] == "approval_rejected"
    assert (await operator.post(f"/v1/admin/orders/{order_id}/reject", json={"note": None})).status_code == 202
    assert_problem(await operator.post(f"/v1/admin/orders/{order_id}/approve"), 409, "not_awaiting_approval")


async def test_an_order_that_needs_no_approval_cannot_be_approved(customer: Caller, operator: Caller) -> None:
    placed = await customer.placed()
    await customer.until(placed["id"], "completed")

    for verb in ("approve", "reject"):
        problem = await operator.post(f"/v1/admin/orders/{placed['id']}/{verb}")
        assert_problem(problem, 409, "not_awaiting_approval")


async def test_only_a_parked_order_can_be_repaired(customer: Caller, operator: Caller) -> None:
    order_id = await waiting(customer)
    for _ in range(2):
        assert_problem(await operator.post(f"/v1/admin/orders/{order_id}/retry"), 409, "not_parked")
        resolve = await operator.post(f"/v1/admin/orders/{order_id}/resolve", json={"status": "cancelled"})
        assert_problem(resolve, 409, "not_parked")
        await customer.post(f"/v1/orders/{order_id}/cancel")
