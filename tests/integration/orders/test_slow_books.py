"""Our books keep orders waiting: no workflow task is renewed for that, and what is asked meanwhile is answered."""

import asyncio
from itertools import pairwise

from temporalio.api.enums.v1 import EventType as HistoryEventType

from contracts.orders import OrderStatus
from tests.answers import answer
from tests.shop import POLL_S, WITHIN_S, Shop, ShopOrder

RENEWED = (HistoryEventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, HistoryEventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED)


async def test_an_order_leaves_slow_books_to_an_activity_before_its_workflow_task_is_renewed(shop: Shop) -> None:
    order = await shop.order(retry_window_s=2)
    await order.meets("charge", "unavailable", times=None)
    await order.start()
    await order.until(OrderStatus.PROCESSING)

    async with shop.engine.connect() as other:
        await other.exec_driver_sql("SELECT FROM followthrough.orders WHERE id = $1 FOR UPDATE", (order.id,))
        await shop.until_a_booking_waits()
        async with asyncio.timeout(WITHIN_S):
            while "park" not in await scheduled(order):
                await asyncio.sleep(POLL_S)
        await shop.ledger.behave()
        resolution = asyncio.create_task(answer(order.resolve(OrderStatus.REJECTED)))
        await other.rollback()

    # An undo that takes longer than a client would wait is answered before it is over.
    assert await resolution in (OrderStatus.REJECTED, OrderStatus.PROCESSING)
    evidence = await order.settled_evidence()
    # The workflow is over, and out of the worker's memory: its view has been replayed.
    assert evidence.view == evidence.agreed
    assert (evidence.timeline[-1], evidence.effects.money_kept) == ("rejected", 0)
    assert evidence.timeline.count("needs_attention") == 1
    assert RENEWED not in pairwise(event.event_type for event in (await order.history()).events)


async def scheduled(order: ShopOrder) -> set[str]:
    """The types of the regular activities that the order has asked for."""
    return {
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in (await order.history()).events
        if event.HasField("activity_task_scheduled_event_attributes")
    }
