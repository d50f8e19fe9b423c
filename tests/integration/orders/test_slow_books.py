"""Our books keep orders waiting: no workflow task is renewed for that, and what is asked meanwhile is answered."""

import asyncio
import time
from datetime import timedelta
from itertools import pairwise
from uuid import uuid4

from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType as HistoryEventType
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from contracts.orders import OrderStatus
from tests.answers import answer
from tests.shop import POLL_S, WITHIN_S, Shop, ShopOrder
from workflows.calls import book

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


class StuckBooks:
    """Books that no local try gets anywhere with."""

    @activity.defn
    async def write(self, _: str) -> str:
        if activity.info().is_local:
            await asyncio.Event().wait()
        return "written"


@workflow.defn
class LateWorkflow:
    """Has a worker that is busy with something else when its task comes."""

    @workflow.run
    async def run(self) -> str:
        if not workflow.unsafe.is_replaying():
            time.sleep(0.9)  # noqa: ASYNC251  # in the workflow's thread
        return await book(StuckBooks.write, "line", what="Write")


async def test_the_local_tries_of_a_late_worker_are_over_before_its_task_is_renewed(shop: Shop) -> None:
    queue = f"late-{uuid4().hex[:8]}"
    async with Worker(
        shop.client,
        task_queue=queue,
        workflows=[LateWorkflow],
        activities=[StuckBooks().write],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        handle = await shop.client.start_workflow(
            LateWorkflow.run, id=queue, task_queue=queue, task_timeout=timedelta(seconds=2)
        )
        written = await handle.result()

    assert written == "written"
    assert RENEWED not in pairwise(event.event_type for event in (await handle.fetch_history()).events)


async def scheduled(order: ShopOrder) -> set[str]:
    """The types of the regular activities that the order has asked for."""
    return {
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in (await order.history()).events
        if event.HasField("activity_task_scheduled_event_attributes")
    }
