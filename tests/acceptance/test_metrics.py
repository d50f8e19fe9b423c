"""Both processes show what alerts and dashboard ask for, under names that Prometheus's users expect."""

import asyncio
import re
import subprocess

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.client import POLL_S, PRICES, WITHIN_S, Caller, Door
from tests.jobs import echo, until
from tests.monitoring import RUNBOOKS, Query, Shown, promtool, queries
from tests.stack_session import RunningStack
from tests.webhooks import answer, hook

# What tells one order, customer or item from another.
IDENTIFYING = re.compile(r"(ord|acct|job|rpt|whe|whd|bat|mail)_[0-9A-Z]{20,}|@|customer-\d", re.IGNORECASE)
MOST_LINES = 6_000
# Values that alerts ask for, and that are shown only once they have come.
MAY_COME = {"/readyz", "5.."}
OF_ORDERS = ("followthrough_order", "followthrough_provider")
OF_ATTEMPTS = ("followthrough_job_attempt", "followthrough_webhook")

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

    for name, label, _, value in query.matchers():
        assert label in shown.labels(name), f"{name} has no {label}"
        for one in value.split("|") if name != "up" else ():
            assert one in shown.of(name)[label] | MAY_COME, f"{name}: {label} is never {one}"


async def test_every_pool_of_both_processes_is_shown(shown: Shown) -> None:
    pools = {"api", "exports", "worker", "outbox", "webhooks", "jobs", "reports", "upkeep"}
    assert shown.of("followthrough_database_connections_used")["pool"] == pools
    assert shown.of("followthrough_database_connections_limit")["pool"] == pools


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


@pytest.mark.usefixtures("shown")
def test_promtool_has_nothing_to_say_against_our_metrics(stack: RunningStack) -> None:
    tool = promtool()
    if tool is None:
        pytest.skip("promtool is not there: `make alerts` builds it")
    for url in stack.metrics.values():
        text = httpx.get(url).text
        linted = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        against = [line for line in (linted.stdout + linted.stderr).splitlines() if "followthrough_" in line]
        assert against == []


async def test_the_guide_lists_each_metric_with_its_labels(shown: Shown) -> None:
    table = RUNBOOKS.read_text().partition("| of ")[2].partition("\n\n")[0]
    told: dict[str, set[str]] = {}
    for row in table.splitlines()[2:]:
        shared = re.search(r"each `\{(.*?)\}`", row)
        for name, labels in re.findall(r"`([a-z_]+)(?:\{([a-z,]+)\})?`", row):
            told[f"followthrough_{name}"] = set(filter(None, (labels or (shared[1] if shared else "")).split(",")))
    # What it says of beside the table.
    told["followthrough_state_reads_total"] = {"source", "outcome"}

    found: dict[str, set[str]] = {}
    for name in shown.names:
        if name.startswith("followthrough_"):
            family = re.sub(r"_(bucket|sum|count)$", "", name)
            found.setdefault(family, set()).update(shown.of(name).keys() - {"le"})
    assert found == told


async def test_a_scrape_is_bounded(stack: RunningStack, shown: Shown) -> None:
    async with httpx.AsyncClient() as http:
        for name, url in stack.metrics.items():
            lines = [line for line in (await http.get(url)).text.splitlines() if not line.startswith("#")]
            # Routes and activities are many by the end of a session; orders and customers would be more.
            assert len(lines) < MOST_LINES, name


async def test_what_happens_to_an_order_is_counted_once(stack: RunningStack, door: Door) -> None:
    """Other tests run orders beside this one in no other process, and none of theirs is declined meanwhile."""
    customer = door.customer()
    before = await counted(stack, *OF_ORDERS)

    order = await customer.placed(payment_method="pm_card_visa_chargeDeclined")
    await customer.until(order["id"], "rejected")

    wanted: dict[Key, float] = {
        ("followthrough_orders_closed_total", "payment_declined", "rejected"): 1,
        ("followthrough_provider_calls_total", "charge", "refused"): 1,
        ("followthrough_order_step_seconds_count", "refused", "charge"): 1,
        ("followthrough_order_seconds_count", "rejected"): 1,
        ("followthrough_provider_call_seconds_count", "charge"): 1,
    }
    for event in ("accepted", "reserved", "compensation_started", "reservation_released", "rejected"):
        wanted["followthrough_order_events_total", event] = 1
    assert await rises_since(before, stack, *OF_ORDERS) == wanted


async def test_attempts_are_counted_by_how_they_ended(stack: RunningStack, door: Door) -> None:
    owner = door.customer("orders:write", "jobs:write", "webhooks:write")
    before = await counted(stack, *OF_ATTEMPTS)

    await until(owner, await echo(owner, fail_times=1), "succeeded")
    async with hook(answer(410)) as receiver:
        asked = {"url": receiver.url(), "event_types": ["order.rejected"]}
        assert (await owner.post("/v1/webhook-endpoints", json=asked)).status_code == 201
        await owner.placed(payment_method="pm_card_visa_chargeDeclined")
        await receiver.until_got(1)
    wanted: dict[Key, float] = {
        ("followthrough_job_attempts_total", "retried", "diagnostics.echo"): 1,
        ("followthrough_job_attempts_total", "succeeded", "diagnostics.echo"): 1,
        ("followthrough_job_attempt_seconds_count", "diagnostics.echo"): 2,
        ("followthrough_webhook_attempts_total", "refused"): 1,
        ("followthrough_webhook_attempt_seconds_count",): 1,
        ("followthrough_webhook_deliveries_total", "failed"): 1,
    }
    async with asyncio.timeout(WITHIN_S):
        while sum((rises := await rises_since(before, stack, *OF_ATTEMPTS)).values()) < sum(wanted.values()):
            await asyncio.sleep(POLL_S)
    assert rises == wanted


async def counted(stack: RunningStack, *prefixes: str) -> dict[Key, float]:
    """What the worker counts under names that begin like this, by name and label values."""
    async with httpx.AsyncClient() as http:
        text = (await http.get(stack.metrics["worker"])).text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith(prefixes) and sample.name.endswith(("_total", "_count"))
    }


async def rises_since(before: dict[Key, float], stack: RunningStack, *prefixes: str) -> dict[Key, float]:
    after = await counted(stack, *prefixes)
    return {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)}


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
