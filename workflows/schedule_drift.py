"""What Temporal has of a schedule, beside what the code says."""

from collections.abc import Sequence
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.client import Client, Schedule, ScheduleActionStartWorkflow

from workflows.schedules import DeclaredSchedule


async def drift(client: Client, declared: DeclaredSchedule, found: Schedule) -> list[str]:
    """The parts in which Temporal's schedule differs from the code. Whether it is paused is the operators' to say."""
    ours, theirs = await _encoded(client, declared.schedule), await _encoded(client, found)
    wanted, there = _parts(declared.schedule), _parts(found)
    if [_encryption(argument) for argument in ours] == [_encryption(argument) for argument in theirs]:
        wanted["workflow"] += await _written(client, ours)
        there["workflow"] += await _written(client, theirs)
    else:
        # A key that has been replaced is not to be needed for ever, and may be gone already.
        there["encryption"] = "another"
    return [name for name, part in wanted.items() if there[name] != part]


def _parts(schedule: Schedule) -> dict[str, Any]:
    action, spec, policy = schedule.action, schedule.spec, schedule.policy
    assert isinstance(action, ScheduleActionStartWorkflow)
    return {
        "workflow": [action.workflow, action.id, action.task_queue, action.execution_timeout],
        "encryption": "",
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


async def _encoded(client: Client, schedule: Schedule) -> list[Payload]:
    """A workflow's arguments. The server gives back what it was sent."""
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    return [
        argument if isinstance(argument, Payload) else (await client.data_converter.encode([argument]))[0]
        for argument in schedule.action.args
    ]


def _encryption(encoded: Payload) -> dict[str, bytes]:
    """Whether a payload is encrypted, and with which key: the data alone says it anew each time."""
    return dict(encoded.metadata)


async def _written(client: Client, encoded: Sequence[Payload]) -> list[bytes]:
    codec = client.data_converter.payload_codec
    return [payload.data for payload in (encoded if codec is None else await codec.decode(encoded))]
