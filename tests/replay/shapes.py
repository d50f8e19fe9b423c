"""Every shape that a history can take, each as a run of the real thing on a quiet stack."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory

from contracts.orders import OrderStatus
from tests.replay import delivery_shapes, shipment_shapes, welcome_shapes
from tests.shop import POLL_S, WITHIN_S, Shop, ShopOrder

LARGE = 60_000
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
        parked_and_resolved,
        parked_undoing_and_retried,
        parked_undoing_and_resolved,
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
    )
}


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
