"""What operators see of an order in Temporal's Web UI."""

import asyncio

from temporalio.api.enums.v1 import EventType
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowHistory

from contracts.orders import OrderStatus
from tests.shop import POLL_S, RPC_TIMEOUT, WITHIN_S, Shop, ShopOrder

LARGE = 60_000


async def found_by(shop: Shop, query: str) -> list[str]:
    return [workflow.id async for workflow in shop.client.list_workflows(query)]


async def until_found_by(shop: Shop, query: str, order: ShopOrder) -> None:
    """Wait until the search shows the order; visibility lags a little."""
    async with asyncio.timeout(WITHIN_S):
        while await found_by(shop, f"{query} AND WorkflowId = '{order.handle.id}'") != [order.handle.id]:
            await asyncio.sleep(POLL_S)


async def current_details(order: ShopOrder) -> str:
    """What the Web UI asks the worker for."""
    metadata: WorkflowMetadata = await order.handle.query(
        "__temporal_workflow_metadata", result_type=WorkflowMetadata, rpc_timeout=RPC_TIMEOUT
    )
    return metadata.current_details


async def summaries(history: WorkflowHistory, shop: Shop) -> dict[str, str]:
    """The summary of each regular activity, by its type."""
    found: dict[str, str] = {}
    for event in history.events:
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            [text] = await shop.client.data_converter.decode([event.user_metadata.summary])
            found[event.activity_task_scheduled_event_attributes.activity_type.name] = text
    return found


async def test_orders_are_found_by_customer_status_and_total(shop: Shop) -> None:
    order = await shop.place(amount=LARGE)
    await order.until(OrderStatus.AWAITING_APPROVAL)

    await until_found_by(shop, "CustomerId = 'customer-1'", order)
    await until_found_by(shop, "OrderTotal >= 60000 AND OrderTotal < 60001", order)
    await until_found_by(shop, "OrderStatus = 'awaiting_approval'", order)
    await order.decide(approved=True)
    await order.settled()
    await until_found_by(shop, "OrderStatus = 'completed'", order)


async def test_parked_orders_are_found_until_they_are_over(shop: Shop) -> None:
    order = await shop.order(retry_window_s=2)
    await order.meets("charge", "rate_limit", times=None, delay_s=30)
    await order.start()
    await order.parked()

    await until_found_by(shop, "OrderStatus = 'needs_attention'", order)
    await shop.ledger.behave()
    await order.cancel()
    await until_found_by(shop, "OrderStatus = 'cancelled'", order)


async def test_the_summary_names_customer_and_total(shop: Shop) -> None:
    order = await shop.place()
    await order.outcome()

    assert await (await order.handle.describe()).static_summary() == "customer-1: 19.99 usd"


async def test_the_current_details_say_what_the_order_waits_for(shop: Shop) -> None:
    order = await shop.place(amount=LARGE)
    await order.until(OrderStatus.AWAITING_APPROVAL)
    await order.view()

    assert await current_details(order) == "Waits for an operator's approval."
    await order.decide(approved=True)
    await order.outcome()
    assert await current_details(order) == ""


async def test_the_current_details_of_a_parked_order_say_what_is_left(shop: Shop) -> None:
    order = await shop.order(retry_window_s=2)
    await order.meets("ship", "rate_limit", times=None, delay_s=30)
    await order.start()
    left = await order.parked()

    assert await current_details(order) == f"**Needs attention**, {left}."


async def test_each_retried_call_says_what_it_does(shop: Shop) -> None:
    order = await shop.order(retry_window_s=10)
    for step in ("charge", "ship"):
        await order.meets(step, "error_before")
    await order.start()
    await order.settled()

    assert await summaries(await order.history(), shop) == {"charge": "charge 19.99 usd", "ship": "ship 1 lines"}


async def test_a_well_order_takes_two_workflow_tasks_and_no_regular_activity(shop: Shop) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            # The circuit breaker may be open still for what an earlier test did to a provider.
            order = await shop.place()
            await order.outcome()
            kinds = [event.event_type for event in (await order.history()).events]
            if EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED not in kinds:
                break
            await asyncio.sleep(POLL_S)

    # In the first one everything is done; the second one hears that the shipment's workflow has started.
    assert kinds.count(EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED) == 2
