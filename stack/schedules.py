"""Temporal's schedules become what the code says."""

from collections.abc import Sequence

from temporalio.client import (
    Client,
    Schedule,
    ScheduleAlreadyRunningError,
    ScheduleDescription,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from workflows.schedule_drift import drift
from workflows.schedules import KEPT_MEMO, MEMO, DeclaredSchedule


async def keep_schedules(client: Client, declared: Sequence[DeclaredSchedule]) -> list[str]:
    """Create, update and remove schedules. Returns what was done, in words; nothing where all was as it should be.

    Operators' pauses and notes stay, and so do schedules that are not ours.
    """
    done = [change for one in declared if (change := await _keep(client, one)) is not None]
    for name in await _left_over(client, declared):
        await client.get_schedule_handle(name).delete()
        done.append(f"removed schedule {name}, which the code has no more")
    return done


async def unlike(client: Client, declared: Sequence[DeclaredSchedule]) -> list[str]:
    """What `keep_schedules` would do something about, in words."""
    found = []
    for one in declared:
        there = await _describe(client, one.name)
        if there is None:
            found.append(f"there is no schedule {one.name}")
        elif differs := await drift(client, one, there.schedule):
            found.append(f"the schedule {one.name} differs from the code: {', '.join(differs)}")
    return found + [
        f"the schedule {name} is one that the code has no more" for name in await _left_over(client, declared)
    ]


async def _left_over(client: Client, declared: Sequence[DeclaredSchedule]) -> list[str]:
    names = {one.name for one in declared}
    return [
        listed.id
        async for listed in await client.list_schedules()
        if listed.id not in names and await listed.memo() == MEMO
    ]


async def _keep(client: Client, declared: DeclaredSchedule) -> str | None:
    found = await _describe(client, declared.name)
    if found is None:
        try:
            await client.create_schedule(declared.name, declared.schedule, memo=KEPT_MEMO)
        except ScheduleAlreadyRunningError:
            # Somebody migrates beside us.
            return await _keep(client, declared)
        return f"created schedule {declared.name}: {declared.when}"
    differs = await drift(client, declared, found.schedule)
    if not differs:
        return None
    await client.get_schedule_handle(declared.name).update(lambda now: _updated(declared.schedule, now))
    return f"updated schedule {declared.name}: {', '.join(differs)}"


def _updated(wanted: Schedule, now: ScheduleUpdateInput) -> ScheduleUpdate:
    state = now.description.schedule.state
    wanted.state.paused, wanted.state.note = state.paused, state.note
    return ScheduleUpdate(wanted)


async def _describe(client: Client, name: str) -> ScheduleDescription | None:
    try:
        return await client.get_schedule_handle(name).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
