"""Both processes show what alerts and dashboard ask for, under names that Prometheus's users expect."""

import asyncio
import re

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.client import POLL_S, PRICES, WITHIN_S, Caller, Door
from tests.jobs import echo, until
from tests.monitoring import Query, Shown, queries
from tests.stack_session import RunningStack
from tests.webhooks import hook

# What tells one order, customer or item from another.
IDENTIFYING = re.compile(r"(ord|acct|job|rpt|whe|whd|bat|mail)_[0-9A-Z]{20,}|@|customer-", re.IGNORECASE)
MOST_LINES = 6_000

Key = tuple[str, ...]


async def scraped(stack: RunningStack) -> Shown:
    async with httpx.AsyncClient() as http:
        return Shown([(await http.get(url)).text for url in stack.metrics.values()])


@pytest.fixture(scope="module")
async def shown(stack: RunningStack, door: Door) -> Shown:
    """What is shown once an order, a job and a webhook have come to their end: a histogram begins with its first."""
    async with hook() as receiver:
        owner = door.customer("orders:write", "orders:read", "jobs:write", "webhooks:write")
        asked = {"url": receiver.url(), "event_types": ["order.completed"]}
        assert (await owner.post("/v1/webhook-endpoints", json=asked)).status_code == 201
        order = await owner.placed()
        await owner.until(order["id"], "completed")
        await until(owner, await echo(owner), "succeeded")
        await receiver.until_got(1)
    async with asyncio.timeout(WITHIN_S):
        while "followthrough_webhook_attempt_seconds_count" not in (found := await scraped(stack)).names:
            await asyncio.sleep(POLL_S)
        # Schedules are read last, soon after the start.
        while "followthrough_schedule_paused" not in (found := await scraped(stack)).names:
            await asyncio.sleep(POLL_S)
    return found


@pytest.mark.parametrize("query", queries(), ids=lambda query: query.where)
async def test_alerts_and_dashboard_ask_for_what_there_is(shown: Shown, query: Query) -> None:
    ours = query.metrics - {"up"}
    assert query.metrics, query.expression
    assert ours <= shown.names, ours - shown.names

    labels = {label for name in query.metrics for label in shown.labels(name)}
    # A value that is shown in the text, and no label.
    assert query.labels - {"value"} <= labels, query.labels - labels

    for name, label, kind, value in query.matchers():
        assert label in shown.labels(name), f"{name} has no {label}"
        if name != "up" and kind in ("=", "!="):
            assert value in shown.of(name)[label] | {"/readyz"}, f"{name}: {label} is never {value}"


async def test_no_label_names_an_order_a_customer_or_an_item(shown: Shown) -> None:
    for name in shown.names:
        for label, values in shown.of(name).items():
            for value in values - {"+Inf"}:
                assert not IDENTIFYING.search(value), f"{name}{{{label}={value}}}"
                assert not any(sku in value for sku in PRICES), f"{name}{{{label}={value}}}"


async def test_names_are_as_prometheus_wants_them_and_say_what_they_are(shown: Shown) -> None:
    ours = {name: help_ for name, help_ in shown.helps.items() if name.startswith("followthrough_")}

    assert len(ours) > 35
    for name, said in ours.items():
        assert re.fullmatch(r"[a-z][a-z_]*", name), name
        assert not re.search(r"_(ms|milliseconds|minutes|hours|count|s)$", name), name
        assert said, name


async def test_a_scrape_is_bounded(stack: RunningStack, shown: Shown) -> None:
    async with httpx.AsyncClient() as http:
        for name, url in stack.metrics.items():
            lines = [line for line in (await http.get(url)).text.splitlines() if not line.startswith("#")]
            # Routes and activities are many by the end of a session; orders and customers would be more.
            assert len(lines) < MOST_LINES, name


async def test_what_happens_to_an_order_is_counted_once(stack: RunningStack, door: Door) -> None:
    """Other tests run orders beside this one in no other process, and none of theirs is declined meanwhile."""
    customer = door.customer()
    before = await counted(stack)

    order = await customer.placed(payment_method="pm_card_visa_chargeDeclined")
    await customer.until(order["id"], "rejected")

    after = await counted(stack)
    wanted: dict[Key, float] = {
        ("followthrough_orders_closed_total", "payment_declined", "rejected"): 1,
        ("followthrough_provider_calls_total", "charge", "refused"): 1,
        ("followthrough_order_step_seconds_count", "refused", "charge"): 1,
        ("followthrough_order_seconds_count", "rejected"): 1,
        ("followthrough_provider_call_seconds_count", "charge"): 1,
    }
    for event in ("accepted", "reserved", "compensation_started", "reservation_released", "rejected"):
        wanted["followthrough_order_events_total", event] = 1
    assert {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)} == wanted


async def counted(stack: RunningStack) -> dict[Key, float]:
    """Everything that the worker counts about orders, by name and label values."""
    async with httpx.AsyncClient() as http:
        text = (await http.get(stack.metrics["worker"])).text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith(("followthrough_order", "followthrough_provider"))
        and sample.name.endswith(("_total", "_count"))
    }


async def test_an_operator_sees_every_queue_and_who_polls_it(operator: Caller) -> None:
    answer = await operator.get("/v1/admin/queues")

    assert answer.status_code == 200, answer.text
    found = {queue["name"]: queue for queue in answer.json()["items"]}
    assert {"orders", "payments", "jobs", "jobs-bulk", "webhooks", "cpu"} <= found.keys()
    orders = found["orders"]["workflow"]
    assert orders.keys() == {*("depth", "oldest_age_s", "added_per_s", "dispatched_per_s", "rate_limited", "pollers")}
    assert [poller["identity"] for poller in orders["pollers"]] == [
        poller["identity"] for poller in found["jobs"]["activity"]["pollers"]
    ]
    assert all(poller["build_id"] for poller in orders["pollers"])
