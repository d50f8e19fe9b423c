"""Workers of two releases side by side, with orders in flight: each order ends on the release that began it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from temporalio.api.enums.v1 import VersioningBehavior
from temporalio.api.workflow.v1 import WorkflowExecutionVersioningInfo

from contracts.ids import fulfilment_id, shipment_workflow_id
from contracts.operators import Decision
from tests.acceptance.client import Caller
from tests.chaos.conftest import open_shop
from tests.chaos.figures import Figures
from tests.chaos.shop import Handle, Orders, Shop
from tests.chaos.workers import Workers
from tests.jobs import echo, until
from tests.stack_session import RunningStack, followthrough, home_without_worker, status
from workflows.orders import OrderWorkflow

ORDERS = 10
# An order of two T-shirts costs more than one cent.
NEEDS_APPROVAL = {"approval_threshold": 1, "shipment_poll_after_s": 21_600}
OLD, NEW = "release-1", "release-2"


@pytest.fixture(scope="module")
def versioned_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of its own: once a version is current, workers without one get no orders any more."""
    with home_without_worker(tmp_path_factory.mktemp("versions") / "home") as home:
        yield home


@pytest.fixture(scope="module")
async def versioned_shop(versioned_home: Path) -> AsyncIterator[Shop]:
    async with open_shop(versioned_home) as opened:
        yield opened


@pytest.fixture
async def versioned_workers(versioned_home: Path) -> AsyncIterator[Workers]:
    workers = Workers(versioned_home)
    yield workers
    await workers.end()


async def deploy(home: Path, *arguments: str) -> str:
    done = await asyncio.to_thread(followthrough, "deploy", *arguments, "--home", str(home))
    assert done.returncode == 0, done.stderr
    return done.stdout


async def statuses(home: Path) -> dict[str, str]:
    found = json.loads(await deploy(home, "drain-status", "--json"))
    return {version["build_id"]: version["status"] for version in found}


def of_release(build_id: str) -> dict[str, str]:
    return {"FOLLOWTHROUGH_WORKER_VERSIONING": "true", "FOLLOWTHROUGH_BUILD_ID": build_id}


async def approve(orders: Orders) -> None:
    decision = Decision(operator="olga", note="", approved=True)
    await asyncio.gather(*(handle.signal(OrderWorkflow.decide, decision) for handle in orders.handles))


async def releases(orders: Orders) -> Counter[str]:
    """By which release each of them was worked on, from its first task to its last."""
    return Counter([await release_of(handle) for handle in orders.handles])


async def release_of(handle: Handle) -> str:
    tasks = {
        event.workflow_task_completed_event_attributes.deployment_version.build_id
        for event in (await handle.fetch_history()).events
        if event.HasField("workflow_task_completed_event_attributes")
    }
    return " and ".join(sorted(tasks))


async def versioning_of(shop: Shop, workflow_id: str) -> WorkflowExecutionVersioningInfo:
    description = await shop.client.get_workflow_handle(workflow_id).describe()
    return description.raw_description.workflow_execution_info.versioning_info


async def said_by_a_job(home: Path) -> str:
    """Jobs are no workflows, and have no version."""
    stack = RunningStack.of(home, status(home))
    async with httpx.AsyncClient(base_url=stack.api_url) as http:
        caller = Caller(http, stack, "versions", "jobs:write")
        done = await until(caller, await echo(caller, message="hello"), "succeeded")
    said: str = done["result"]["message"]
    return said


async def timers(orders: Orders) -> int:
    """How many of them went the way that is new."""
    histories = [await handle.fetch_history() for handle in orders.handles]
    return sum(
        any(
            b"what is new" in event.user_metadata.summary.data
            for event in history.events
            if event.HasField("timer_started_event_attributes")
        )
        for history in histories
    )


async def test_orders_end_on_the_release_that_began_them_and_a_rollback_brings_it_back(
    versioned_home: Path, versioned_shop: Shop, versioned_workers: Workers, figures: Figures
) -> None:
    home, shop, workers = versioned_home, versioned_shop, versioned_workers
    figure = figures.begin("nothing: two releases side by side", 5 * ORDERS)
    await (await workers.start(**of_release(OLD))).ready_at()
    assert await deploy(home, "promote", "--build-id", OLD) == f"{OLD} is current\n"
    before = await shop.place(ORDERS, **NEEDS_APPROVAL)
    await before.reach("awaiting_approval")

    newer = await workers.start_module("tests.chaos.newer_worker", **of_release(NEW))
    await newer.ready_at()
    unused = await shop.place(ORDERS)
    assert set(await unused.outcomes()) == {"completed"}

    await deploy(home, "promote", "--build-id", NEW)
    after = await shop.place(ORDERS, **NEEDS_APPROVAL)
    await after.reach("awaiting_approval")
    assert await statuses(home) == {NEW: "current", OLD: "draining"}
    job = await said_by_a_job(home)

    said = await deploy(home, "rollback")
    again = await shop.place(ORDERS)
    await deploy(home, "ramp", "--build-id", NEW, "--percentage", "100")
    ramped = await shop.place(ORDERS)
    assert set(await ramped.outcomes()) == {"completed"}
    assert await deploy(home, "rollback") == f"{NEW} gets nothing new any more\n"
    await approve(before)
    await approve(after)

    assert said == f"{OLD} is current again, as before {NEW}\n"
    everything = (before, unused, after, again, ramped)
    for orders in everything:
        assert set(await orders.outcomes()) == {"completed"}
        assert await orders.wrong() == []
    assert [await releases(orders) for orders in everything] == [
        Counter({OLD: ORDERS}),
        Counter({OLD: ORDERS}),
        Counter({NEW: ORDERS}),
        Counter({OLD: ORDERS}),
        Counter({NEW: ORDERS}),
    ]
    assert [await timers(orders) for orders in everything] == [0, 0, ORDERS, 0, ORDERS]
    assert await statuses(home) == {NEW: "draining", OLD: "current"}
    assert job == "hello"
    pinned = await versioning_of(shop, after.handles[0].id)
    assert pinned.behavior == VersioningBehavior.VERSIONING_BEHAVIOR_PINNED
    shipment = await versioning_of(shop, shipment_workflow_id(fulfilment_id(after.ids[0], 1)))
    assert shipment.behavior == VersioningBehavior.VERSIONING_BEHAVIOR_AUTO_UPGRADE
    await figure.take(after, newer)
    figure.verdict = "all completed, each on the release that began it"
