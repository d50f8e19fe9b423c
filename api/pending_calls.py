"""What a workflow is waiting for, as Temporal has it: the activities that are tried, and tried again."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.converter import DataConverter

from payloads import PayloadUnreadable

log = structlog.get_logger()


@dataclass(frozen=True)
class PendingCall:
    """A call that is being tried: how often by now, why the last try failed, and when the next one is."""

    name: str
    attempt: int
    failure: str | None
    next_at: datetime | None


async def pending_calls_of(
    activities: Iterable[PendingActivityInfo], converter: DataConverter
) -> tuple[PendingCall, ...]:
    found = []
    for activity in activities:
        failure = None
        if activity.HasField("last_failure"):
            failure = await _told(activity.last_failure, converter)
        waits = activity.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED and activity.attempt > 1
        next_at = activity.next_attempt_schedule_time.ToDatetime(UTC) if waits else None
        found.append(PendingCall(activity.activity_type.name, activity.attempt, failure, next_at))
    return tuple(found)


async def _told(failure: Failure, converter: DataConverter) -> str | None:
    """None for what is encrypted with a key that is not here: that somebody tries is known all the same."""
    try:
        return str(await converter.decode_failure(failure))
    except PayloadUnreadable as unreadable:
        log.warning("why a call failed cannot be read", cause=str(unreadable))
        return None
