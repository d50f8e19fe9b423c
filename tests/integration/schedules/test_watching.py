"""What stands still or fails becomes an item for somebody's attention, until it has passed."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import insert, text, update
from temporalio.exceptions import CancelledError
from temporalio.testing import ActivityEnvironment

from activities.watching import Watch, WatchActivities
from contracts.attention import AttentionKind
from contracts.fraud import Maintenance
from contracts.ids import new_endpoint_id
from contracts.orders import OrderStatus
from database.attention import AttentionRepository
from database.fraud import FraudRepository
from database.order_watch import OrderWatch
from database.tables import order_steps, orders, webhook_endpoints
from database.webhook_health import WebhookHealth
from tests.schedules import declared, items_about, own_schedule, run_now
from tests.shop import RPC_TIMEOUT, Shop, ShopOrder

LARGE = 60_000
SLACK = timedelta(minutes=5)


async def stands_still(shop: Shop, order: ShopOrder, since: timedelta, **changes: object) -> None:
    """Have our books say that nothing happened to an order for so long."""
    change = update(orders).where(orders.c.id == order.id).values(updated_at=datetime.now(UTC) - since, **changes)
    async with shop.engine.begin() as connection:
        await connection.execute(change)


async def awaiting_approval(shop: Shop, *, deadline: timedelta) -> ShopOrder:
    order = await shop.place(amount=LARGE, approval_deadline_s=int(deadline.total_seconds()))
    await order.until(OrderStatus.AWAITING_APPROVAL)
    return order


async def stuck(shop: Shop, *found: ShopOrder) -> list[str]:
    """Those of these orders that have an open item after a run."""
    await run_now(shop, "stuck-orders")
    items = await items_about(shop, *(order.id for order in found), kind=AttentionKind.STUCK_ORDER)
    return [item.source for item in items if item.closed_at is None]


async def test_an_order_that_waits_for_longer_than_its_own_deadline_is_stuck_until_it_goes_on(shop: Shop) -> None:
    patient = await awaiting_approval(shop, deadline=timedelta(days=2))
    late = await awaiting_approval(shop, deadline=timedelta(hours=1))
    for order in (patient, late):
        await stands_still(shop, order, timedelta(hours=2))

    assert await stuck(shop, patient, late) == [late.id]
    assert await stuck(shop, patient, late) == [late.id]
    [item] = await items_about(shop, late.id)
    assert item.detail.startswith(f"{late.id} is awaiting_approval, and stands still since ")

    await late.decide(approved=True)
    await late.outcome()
    assert await stuck(shop, patient, late) == []
    [item] = await items_about(shop, late.id)
    assert item.closed_at is not None


@pytest.mark.parametrize(
    ("status", "still", "is_stuck"),
    [
        # A step of an order of these tests is retried for 3 s.
        ("processing", SLACK - timedelta(seconds=30), False),
        ("processing", SLACK + timedelta(seconds=30), True),
        ("awaiting_customer", timedelta(hours=71), False),
        ("awaiting_customer", timedelta(hours=73), True),
        ("needs_attention", timedelta(days=30), False),
    ],
)
async def test_each_wait_has_its_own_bound(shop: Shop, status: str, still: timedelta, is_stuck: bool) -> None:
    order = await shop.place()
    await order.outcome()
    await stands_still(shop, order, still, status=status)

    found = await stuck(shop, order)

    await stands_still(shop, order, timedelta(), status="completed")
    assert found == ([order.id] if is_stuck else [])


async def test_an_order_from_before_rules_were_kept_has_the_longest_of_them(shop: Shop) -> None:
    order = await shop.place()
    await order.outcome()
    await stands_still(shop, order, timedelta(days=2), status="processing", rules=None)
    before = await stuck(shop, order)
    await stands_still(shop, order, timedelta(days=4), status="processing", rules=None)
    after = await stuck(shop, order)
    await stands_still(shop, order, timedelta(), status="completed")

    assert (before, after) == ([], [order.id])


async def test_while_fraud_checks_are_suspended_orders_may_wait_for_theirs(shop: Shop) -> None:
    order = await shop.place()
    await order.outcome()
    fraud = FraudRepository(shop.engine)
    check = {"order_id": order.id, "fulfilment": 0, "step": "check_fraud", "key": uuid4().hex}
    async with shop.engine.begin() as connection:
        await connection.execute(insert(order_steps).values(**check, begun_at=datetime.now(UTC)))
    await stands_still(shop, order, timedelta(days=1), status="processing")

    await fraud.set_maintenance(Maintenance(enabled=True))
    try:
        suspended = await stuck(shop, order)
    finally:
        await fraud.set_maintenance(Maintenance(enabled=False))
    resumed = await stuck(shop, order)

    await stands_still(shop, order, timedelta(), status="completed")
    assert (suspended, resumed) == ([], [order.id])


async def test_an_order_whose_first_step_is_not_done_is_stuck(shop: Shop) -> None:
    order = await shop.order()
    await order.start(start_delay=timedelta(days=1))
    attention = AttentionRepository(shop.engine)
    watching = WatchActivities(Watch(attention), OrderWatch(shop.engine), WebhookHealth(shop.engine), shop.client)
    activity = ActivityEnvironment()

    now = datetime.now(UTC)
    await activity.run(watching.report_stuck_orders, now)
    early = await items_about(shop, order.id)
    # As it will be.
    await activity.run(watching.report_stuck_orders, now + 2 * SLACK)
    [item] = await items_about(shop, order.id)

    await order.handle.terminate()
    assert early == []
    assert item.detail == f"{order.id} was accepted, and its first step is not done"


async def test_a_run_that_is_cancelled_has_not_failed(shop: Shop) -> None:
    async with own_schedule(shop, declared("stuck-orders")) as schedule, shop.engine.begin() as connection:
        # What it looks at has to be waited for.
        await connection.execute(text("LOCK TABLE followthrough.fraud_settings"))
        await schedule.handle.trigger(rpc_timeout=RPC_TIMEOUT)
        [run] = await schedule.runs(1)
        await run.handle.cancel()

        assert isinstance(await run.outcome(), CancelledError)


async def test_endpoints_that_fail_or_were_disabled_are_told_of_until_they_are_well(shop: Shop) -> None:
    now = datetime.now(UTC)
    failing, lately, once, gone, by_owner = (new_endpoint_id() for _ in range(5))
    hours = {hours: now - timedelta(hours=hours) for hours in (1, 2, 25, 31, 60)}
    states: dict[str, dict[str, object]] = {
        failing: {"status": "active", "failing_since": hours[25], "last_failed_at": hours[1]},
        lately: {"status": "active", "failing_since": hours[2], "last_failed_at": hours[1]},
        # Failures further apart say nothing about the time between them.
        once: {"status": "active", "failing_since": hours[60], "last_failed_at": hours[31]},
        gone: {"status": "disabled", "disabled_reason": "gone"},
        by_owner: {"status": "disabled", "disabled_reason": "owner"},
    }
    async with shop.engine.begin() as connection:
        for endpoint, state in states.items():
            endpoint_row = {"id": endpoint, "owner": "ada", "url": "https://ada:secret@example.com", "event_types": []}
            await connection.execute(insert(webhook_endpoints).values(**endpoint_row, secrets=[], **state))

    await run_now(shop, "webhook-health")
    await run_now(shop, "webhook-health")

    found = {item.source: item for item in await items_about(shop, *states)}
    assert {source: item.kind for source, item in found.items()} == {
        failing: AttentionKind.WEBHOOK_FAILING,
        gone: AttentionKind.WEBHOOK_DISABLED,
    }
    assert found[failing].detail.startswith(f"{failing} of ada answers nothing but errors since ")
    assert found[gone].detail == f"{gone} of ada was disabled: gone"
    assert not any("secret" in item.detail for item in found.values())

    async def become(endpoint: str, **state: object) -> None:
        async with shop.engine.begin() as connection:
            await connection.execute(
                update(webhook_endpoints).where(webhook_endpoints.c.id == endpoint).values(**state)
            )

    await become(failing, failing_since=None)
    await become(gone, status="active", disabled_reason=None)
    await run_now(shop, "webhook-health")
    assert all(item.closed_at is not None for item in await items_about(shop, *states))

    # What comes again is news again.
    await become(gone, status="disabled", disabled_reason="failing")
    await run_now(shop, "webhook-health")
    [item] = await items_about(shop, gone)
    assert (item.closed_at, item.detail) == (None, f"{gone} of ada was disabled: failing")
