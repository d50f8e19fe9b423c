"""`followthrough migrate` makes Temporal's schedules what the code says, and nothing else."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import ScheduleOverlapPolicy, ScheduleUpdate, ScheduleUpdateInput
from temporalio.service import RPCError, RPCStatusCode

from stack.schedules import keep_schedules
from tests.acceptance.client import Caller
from tests.schedules import declared
from tests.shop import Shop
from tests.stack_session import RunningStack, followthrough
from workflows.schedules import MEMO, schedules

CODE = schedules(digest_at=time(8), digest_zone="UTC")
NAMES = {one.name for one in CODE}


async def updates(shop: Shop) -> Mapping[str, tuple[bytes, datetime, datetime | None]]:
    """What changes with every change of a schedule."""
    found = {name: await shop.client.get_schedule_handle(name).describe() for name in NAMES}
    return {
        name: (there.raw_description.conflict_token, there.info.created_at, there.info.last_updated_at)
        for name, there in found.items()
    }


def migrate(stack: RunningStack, **variables: str) -> list[str]:
    """What the command prints."""
    done = followthrough("migrate", "--home", str(stack.home), **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


async def shown(operator: Caller, name: str) -> dict[str, Any]:
    answer = await operator.get(f"/v1/admin/schedules/{name}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def tamper(shop: Shop, name: str, **policy: Any) -> None:
    """Change a schedule as one may in the Web UI."""

    def changed(now: ScheduleUpdateInput) -> ScheduleUpdate:
        schedule = now.description.schedule
        schedule.policy = replace(schedule.policy, **policy)
        schedule.spec.jitter = timedelta(seconds=7)
        return ScheduleUpdate(schedule)

    await shop.client.get_schedule_handle(name).update(changed)


async def test_a_second_one_changes_nothing(stack: RunningStack, shop: Shop) -> None:
    before = await updates(shop)

    printed = migrate(stack)

    assert printed == []
    assert await updates(shop) == before


async def test_what_was_changed_there_is_shown_and_taken_back(
    stack: RunningStack, shop: Shop, operator: Caller
) -> None:
    await tamper(shop, "webhook-health", overlap=ScheduleOverlapPolicy.ALLOW_ALL)
    drifted = await shown(operator, "webhook-health")

    printed = migrate(stack)

    assert drifted["drift"] == ["jitter", "overlap"]
    assert printed == ["updated schedule webhook-health: jitter, overlap"]
    assert (await shown(operator, "webhook-health"))["drift"] == []
    description = await shop.client.get_schedule_handle("webhook-health").describe()
    assert description.schedule.policy.overlap is ScheduleOverlapPolicy.SKIP
    assert description.schedule.spec.jitter == timedelta(minutes=1)


async def test_what_operators_paused_stays_paused(stack: RunningStack, shop: Shop, operator: Caller) -> None:
    await operator.post("/v1/admin/schedules/webhook-health/pause", json={"note": "receivers move house"})
    try:
        await tamper(shop, "webhook-health", catchup_window=timedelta(minutes=7))
        printed = migrate(stack)
        after = await shown(operator, "webhook-health")
    finally:
        await operator.post("/v1/admin/schedules/webhook-health/resume", json={})

    assert printed == ["updated schedule webhook-health: jitter, catch_up"]
    assert (after["paused"], after["note"], after["drift"]) == (True, "receivers move house", [])


async def test_one_that_the_code_has_no_more_goes_and_others_stay(
    stack: RunningStack, shop: Shop, operator: Caller
) -> None:
    gone, foreign = f"gone-{uuid4().hex[:8]}", f"foreign-{uuid4().hex[:8]}"
    like = replace(declared("daily-digest"), name=gone)
    await shop.client.create_schedule(gone, like.schedule, memo=MEMO)
    await shop.client.create_schedule(foreign, replace(like, name=foreign).schedule)
    listed = (await operator.get("/v1/admin/schedules")).json()

    printed = migrate(stack)

    assert listed["not_declared"] == [gone]
    assert printed == [f"removed schedule {gone}, which the code has no more"]
    with pytest.raises(RPCError) as missing:
        await shop.client.get_schedule_handle(gone).describe()
    assert missing.value.status is RPCStatusCode.NOT_FOUND
    await shop.client.get_schedule_handle(foreign).describe()
    await shop.client.get_schedule_handle(foreign).delete()


async def test_one_that_is_missing_is_shown_and_made(stack: RunningStack, shop: Shop, operator: Caller) -> None:
    await shop.client.get_schedule_handle("webhook-health").delete()
    missing = await shown(operator, "webhook-health")
    commanded = await operator.post("/v1/admin/schedules/webhook-health/trigger")

    printed = migrate(stack)

    assert (missing["drift"], missing["next_runs"]) == (["missing"], [])
    assert commanded.status_code == 404
    assert "followthrough migrate" in commanded.json()["detail"]
    assert printed == ["created schedule webhook-health: every 15 minutes"]
    assert (await shown(operator, "webhook-health"))["drift"] == []


async def test_a_setting_that_changes_changes_its_schedule(stack: RunningStack, shop: Shop, operator: Caller) -> None:
    printed = migrate(stack, FOLLOWTHROUGH_DIGEST_ZONE="Europe/Oslo", FOLLOWTHROUGH_DIGEST_AT="07:30")
    # The API has the settings of before.
    drifted = (await shown(operator, "daily-digest"))["drift"]
    description = await shop.client.get_schedule_handle("daily-digest").describe()

    assert printed == ["updated schedule daily-digest: workflow, times"]
    assert drifted == ["workflow", "times"]
    assert description.schedule.spec.time_zone_name == "Europe/Oslo"
    assert migrate(stack) == ["updated schedule daily-digest: workflow, times"]


def test_a_time_that_a_day_lacks_is_refused(stack: RunningStack) -> None:
    refused = followthrough(
        "migrate",
        "--home",
        str(stack.home),
        FOLLOWTHROUGH_DIGEST_ZONE="Europe/Oslo",
        FOLLOWTHROUGH_DIGEST_AT="02:30",
    )

    assert refused.returncode == 1
    assert "digest_at must be a time that every day has once: Europe/Oslo changes its clocks then" in refused.stderr


async def test_several_at_once_make_each_schedule_once(shop: Shop) -> None:
    await shop.client.get_schedule_handle("webhook-health").delete()

    done = await asyncio.gather(*(keep_schedules(shop.client, CODE) for _ in range(4)))

    assert [change for changes in done for change in changes] == ["created schedule webhook-health: every 15 minutes"]
