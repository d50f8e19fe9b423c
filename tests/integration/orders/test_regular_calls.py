"""Operators may have every provider call made as a regular activity, visible from its first attempt."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from contracts import queues
from tests.shop import Shop, open_shop
from tests.stack_session import RunningStack, bring_up, throw_away

pytestmark = pytest.mark.outage


@pytest.fixture(scope="module")
def regular_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    home: Path = tmp_path_factory.mktemp("regular") / "home"
    try:
        found = bring_up(home, "--without", "api", FOLLOWTHROUGH_PROVIDER_CALLS="regular")
        yield RunningStack.of(home, found)
    finally:
        throw_away(home)


@pytest.fixture(scope="module")
async def regular_shop(regular_stack: RunningStack) -> AsyncIterator[Shop]:
    async with open_shop(regular_stack) as shop:
        yield shop


async def test_provider_calls_are_regular_activities_on_their_providers_queues(regular_shop: Shop) -> None:
    order = await regular_shop.place()
    evidence = await order.settled_evidence()
    scheduled = [
        event.activity_task_scheduled_event_attributes
        for event in (await order.history()).events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]

    assert evidence.status == "completed"
    assert [(activity.activity_type.name, activity.task_queue.name) for activity in scheduled] == [
        ("charge", queues.PAYMENTS),
        ("ship", queues.CARRIER),
    ]
    assert len(evidence.effects.charges) == len(evidence.effects.shipments) == 1
