"""Every shape that a history can take, each as a run of the real thing on a quiet stack."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol
from uuid import uuid4

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory

from activities.orders import OrderActivities
from contracts.books import Park
from contracts.customers import CustomerAction
from contracts.fraud import FraudLimit
from contracts.orders import OrderStatus
from contracts.steps import StepName
from database.books import Books
from database.fraud import FraudRepository
from tests.replay import batch_shapes, bulk_shapes, delivery_shapes, shipment_shapes, upkeep_shapes, welcome_shapes
from tests.replay.histories import commands
from tests.shop import ADA, POLL_S, WITHIN_S, Shop, ShopOrder

LARGE = 60_000
TWO = {"wh_lyon": 1, "wh_oslo": 1}
WINDOW_S = 2
LONGER_THAN_THE_WINDOW_S = 30


class Followed(Protocol):
    """Something that runs to its end and leaves a history."""

    async def outcome(self) -> object: ...

    async def history(self) -> WorkflowHistory: ...


Shape = Callable[[Shop], Awaitable[Followed]]


async def completed(shop: Shop) -> ShopOrder:
    return await shop.place()


async def declined(shop: Shop) -> ShopOrder:
    return await shop.place(payment_method="pm_card_visa_chargeDeclined")


async def out_of_stock(shop: Shop) -> ShopOrder:
    return await shop.place(on_hand=0)


async def approved(shop: Shop) -> ShopOrder:
    order = await waiting(shop)
    await order.decide(approved=True)
    return order


async def approval_rejected(shop: Shop) -> ShopOrder:
    order = await waiting(shop)
    await order.decide(approved=False)
    return order


async def approval_timed_out(shop: Shop) -> ShopOrder:
    return await shop.place(amount=LARGE, approval_deadline_s=1)


async def cancelled_while_waiting(shop: Shop) -> ShopOrder:
    order = await waiting(shop)
    await order.cancel()
    return order


async def cancelled_by_button(shop: Shop) -> ShopOrder:
    order = await waiting(shop)
    await order.handle.cancel()
    return order


async def cancelled_while_retrying(shop: Shop) -> ShopOrder:
    order = await shop.order(retry_window_s=60)
    await order.meets("charge", "unavailable", times=2)
    await order.start()
    await shop.ledger.until_asked(order.id, 2)
    await order.cancel()
    return order


async def shipping_refused(shop: Shop) -> ShopOrder:
    order = await shop.order()
    await order.meets("ship", "decline")
    await order.start()
    return order


async def charge_retried(shop: Shop) -> ShopOrder:
    order = await shop.order()
    await order.meets("charge", "error_before")
    await order.start()
    return order


async def shipment_retried(shop: Shop) -> ShopOrder:
    order = await shop.order()
    await order.meets("ship", "error_after")
    await order.start()
    return order


async def parked_and_retried(shop: Shop) -> ShopOrder:
    order = await parked(shop, "charge")
    await order.retry()
    return order


async def parked_and_cancelled(shop: Shop) -> ShopOrder:
    """The carrier has the order by then, and is told to give it back."""
    order = await parked(shop, "ship")
    await order.cancel()
    return order


async def cancelled_when_parked_by_a_lost_task(shop: Shop) -> ShopOrder:
    """Our books knew that it was parked, and its workflow did not, when it was cancelled."""
    order = await shop.order(retry_window_s=WINDOW_S)
    await order.meets("charge", "slow", delay_s=0.5)
    await order.meets("ship", "rate_limit", times=2, delay_s=LONGER_THAN_THE_WINDOW_S)
    await order.start()
    await order.until(OrderStatus.PROCESSING)
    lost = Park(
        order_id=order.id, at=datetime.now(UTC), known=0, key="needs_attention/1", step=StepName.CHARGE, left="to pay"
    )
    await OrderActivities(Books(shop.engine)).park(lost)
    await order.handle.cancel()
    return order


async def parked_and_resolved(shop: Shop) -> ShopOrder:
    order = await parked(shop, "charge")
    await order.resolve(OrderStatus.REJECTED)
    return order


async def parked_undoing_and_retried(shop: Shop) -> ShopOrder:
    order = await refund_refused(shop)
    await order.retry()
    return order


async def parked_undoing_and_resolved(shop: Shop) -> ShopOrder:
    order = await refund_refused(shop)
    await order.resolve(OrderStatus.REJECTED)
    return order


async def split(shop: Shop) -> ShopOrder:
    return await shop.place(on_hand=TWO, quantity=2)


async def split_and_partly_refused(shop: Shop) -> ShopOrder:
    order = await shop.order(on_hand=TWO, quantity=2)
    await order.meets("ship", "decline", fulfilment=2)
    await order.start()
    return order


async def split_and_cancelled(shop: Shop) -> ShopOrder:
    order = await shop.place(amount=LARGE, on_hand=TWO, quantity=2)
    await order.until(OrderStatus.AWAITING_APPROVAL)
    await order.cancel()
    return order


async def split_parked_and_resolved(shop: Shop) -> ShopOrder:
    """One part is shipped, and an operator gives the other one up."""
    order = await shop.order(on_hand=TWO, quantity=2, retry_window_s=WINDOW_S)
    await order.meets("charge", "rate_limit", fulfilment=2, times=None, delay_s=LONGER_THAN_THE_WINDOW_S)
    await order.start()
    await order.parked()
    await shop.ledger.behave()
    await order.resolve(OrderStatus.PARTIALLY_COMPLETED)
    return order


async def amended(shop: Shop) -> ShopOrder:
    order = await short(shop)
    await order.act(CustomerAction.AMEND)
    return order


async def declined_by_the_customer(shop: Shop) -> ShopOrder:
    order = await short(shop)
    await order.act(CustomerAction.CANCEL)
    return order


async def customer_timed_out(shop: Shop) -> ShopOrder:
    return await shop.place(on_hand={"wh_oslo": 1}, quantity=2, customer_deadline_s=1)


async def sent_elsewhere(shop: Shop) -> ShopOrder:
    order = await waiting(shop)
    await order.send_to(ADA.model_copy(update={"line1": "13 Long St"}))
    await order.decide(approved=True)
    return order


async def fraud_suspected(shop: Shop) -> ShopOrder:
    return await placed_under_a_limit(shop, amount=1)


async def checked_for_fraud(shop: Shop) -> ShopOrder:
    return await placed_under_a_limit(shop, amount=LARGE)


SHAPES: dict[str, Shape] = {
    shape.__name__: shape
    for shape in (
        completed,
        declined,
        out_of_stock,
        approved,
        approval_rejected,
        approval_timed_out,
        cancelled_while_waiting,
        cancelled_by_button,
        cancelled_while_retrying,
        shipping_refused,
        charge_retried,
        shipment_retried,
        parked_and_retried,
        parked_and_cancelled,
        cancelled_when_parked_by_a_lost_task,
        parked_and_resolved,
        parked_undoing_and_retried,
        parked_undoing_and_resolved,
        split,
        split_and_partly_refused,
        split_and_cancelled,
        split_parked_and_resolved,
        amended,
        declined_by_the_customer,
        customer_timed_out,
        sent_elsewhere,
        fraud_suspected,
        checked_for_fraud,
        welcome_shapes.welcomed_and_confirmed,
        welcome_shapes.welcomed_reminded_and_expired,
        welcome_shapes.bounced_and_expired,
        welcome_shapes.welcomed_resent_and_deleted,
        welcome_shapes.told_that_the_address_is_taken,
        delivery_shapes.delivered,
        delivery_shapes.delivered_at_the_second_attempt,
        delivery_shapes.cancelled_between_attempts,
        shipment_shapes.shipment_told,
        shipment_shapes.shipment_polled,
        shipment_shapes.shipment_given_up,
        shipment_shapes.shipment_called_back,
        upkeep_shapes.cleaned_up,
        upkeep_shapes.cleaned_up_in_part,
        upkeep_shapes.digest_sent,
        upkeep_shapes.payments_reconciled,
        upkeep_shapes.webhooks_looked_at,
        upkeep_shapes.orders_looked_at,
        upkeep_shapes.orders_not_looked_at,
        batch_shapes.batch_of_one_window,
        batch_shapes.batch_cancelled_by_button,
        bulk_shapes.bulk_of_two_turns,
        bulk_shapes.bulk_cancelled_by_button,
    )
}


# What two fulfilments ask for in one workflow task comes in no certain order.
SIDE_BY_SIDE = frozenset(name for name in SHAPES if name.startswith("split"))


def asked_for(shape: str, history: WorkflowHistory) -> list[str]:
    """The commands of a history of this shape, so that those of two of them can be compared."""
    found = commands(history)
    return sorted(found) if shape in SIDE_BY_SIDE else found


async def short(shop: Shop) -> ShopOrder:
    """An order that waits for its customer."""
    order = await shop.place(on_hand={"wh_oslo": 1}, quantity=2)
    await order.until(OrderStatus.AWAITING_CUSTOMER)
    return order


async def placed_under_a_limit(shop: Shop, *, amount: int) -> ShopOrder:
    """An order, to its end, of a customer who may spend so much."""
    fraud = FraudRepository(shop.engine)
    await fraud.set_limit(FraudLimit(amount=amount, window_s=60))
    try:
        order = await shop.place(customer_id=f"limited-{uuid4().hex}")
        await order.outcome()
    finally:
        await fraud.set_limit(None)
    return order


async def waiting(shop: Shop) -> ShopOrder:
    """An order that waits for approval."""
    order = await shop.place(amount=LARGE)
    await order.until(OrderStatus.AWAITING_APPROVAL)
    return order


async def parked(shop: Shop, step: str) -> ShopOrder:
    """An order whose provider asked for more patience than the order has; it is well again by now."""
    order = await shop.order(retry_window_s=WINDOW_S)
    await order.meets(step, "rate_limit", times=None, delay_s=LONGER_THAN_THE_WINDOW_S)
    await order.start()
    await order.parked()
    await shop.ledger.behave()
    return order


async def refund_refused(shop: Shop) -> ShopOrder:
    """An order that the carrier refused and that could not be paid back."""
    order = await shop.order(retry_window_s=WINDOW_S)
    await order.meets("ship", "decline")
    await order.meets("refund", "decline")
    await order.start()
    await order.parked()
    return order


async def providers_are_trusted(shop: Shop) -> None:
    """Wait until an order goes through without a regular activity: no circuit breaker is open any more."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            order = await shop.place()
            await order.outcome()
            kinds = [event.event_type for event in (await order.history()).events]
            if EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED not in kinds:
                return
            await asyncio.sleep(POLL_S)
