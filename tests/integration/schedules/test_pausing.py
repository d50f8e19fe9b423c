"""A paused schedule starts nothing, while another one like it goes on."""

from dataclasses import replace
from datetime import time, timedelta

from temporalio.client import ScheduleIntervalSpec, ScheduleSpec, ScheduleUpdate, ScheduleUpdateInput

from stack.schedules import keep_schedules
from tests.acceptance.client import Caller
from tests.schedules import declared, own_schedule
from tests.shop import Shop
from workflows.schedules import schedules

EVERY_SECOND = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(seconds=1))])
NAME = "webhook-health"
PATH = f"/v1/admin/schedules/{NAME}"


def hastened(now: ScheduleUpdateInput) -> ScheduleUpdate:
    schedule = now.description.schedule
    schedule.spec = EVERY_SECOND
    return ScheduleUpdate(schedule)


async def started(shop: Shop) -> int:
    """How many runs the schedule has started, as Temporal counts."""
    return (await shop.client.get_schedule_handle(NAME).describe()).info.num_actions


async def test_pausing_stops_it_and_resuming_has_it_go_on(shop: Shop, operator: Caller) -> None:
    clock_like = replace(declared(NAME), spec=EVERY_SECOND, jitter=timedelta())
    try:
        async with own_schedule(shop, clock_like) as clock:
            await clock.handle.unpause()
            await shop.client.get_schedule_handle(NAME).update(hastened)
            await operator.post(f"{PATH}/pause", json={"note": "enough"})
            paused = await started(shop)
            ticks = len(await clock.runs(1))
            # So much time has passed by the other one.
            await clock.runs(ticks + 3)
            still = await started(shop)
            await operator.post(f"{PATH}/resume")
            await clock.runs(ticks + 6)
            going_on = await started(shop)
    finally:
        await operator.post(f"{PATH}/resume")
        await keep_schedules(shop.client, schedules(digest_at=time(8), digest_zone="UTC"))

    # One may have been about to start as it was paused.
    assert still <= paused + 1
    assert going_on >= still + 2
