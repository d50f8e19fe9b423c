"""What Temporal has of a schedule, beside what the code says."""

from collections.abc import Mapping
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.client import Client, Schedule, ScheduleActionStartWorkflow

from workflows.schedules import DeclaredSchedule


async def drift(client: Client, declared: DeclaredSchedule, found: Schedule) -> list[str]:
    """The parts in which Temporal's schedule differs from the code. Whether it is paused is the operators' to say."""
    wanted, there = await _parts(client, declared.schedule), await _parts(client, found)
    return [name for name, part in wanted.items() if there[name] != part]


async def _parts(client: Client, schedule: Schedule) -> Mapping[str, Any]:
    action, spec, policy = schedule.action, schedule.spec, schedule.policy
    assert isinstance(action, ScheduleActionStartWorkflow)
    return {
        "workflow": (
            action.workflow,
            action.id,
            action.task_queue,
            action.execution_timeout,
            await _encoded(client, action.args),
        ),
        "times": (
            [_ranges(calendar) for calendar in spec.calendars],
            [(interval.every, interval.offset or None) for interval in spec.intervals],
            list(spec.cron_expressions),
            [_ranges(calendar) for calendar in spec.skip],
            spec.start_at,
            spec.end_at,
            spec.time_zone_name or "UTC",
        ),
        "jitter": spec.jitter or None,
        "overlap": policy.overlap,
        "catch_up": policy.catchup_window,
        "pause_on_failure": policy.pause_on_failure,
        "limit": (schedule.state.limited_actions, schedule.state.remaining_actions),
    }


def _ranges(calendar: Any) -> tuple[Any, ...]:
    fields = ("second", "minute", "hour", "day_of_month", "month", "year", "day_of_week")
    return tuple(tuple(getattr(calendar, field)) for field in fields)


async def _encoded(client: Client, arguments: Any) -> list[bytes]:
    """The server gives back what it was sent."""
    return [
        (argument if isinstance(argument, Payload) else (await client.data_converter.encode([argument]))[0]).data
        for argument in arguments
    ]
