"""What a workflow is waiting for, as Temporal has it: the activities that are tried, and tried again."""

from dataclasses import dataclass
from datetime import UTC, datetime

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import WorkflowExecutionDescription
from temporalio.converter import DataConverter


@dataclass(frozen=True)
class PendingCall:
    """A call that is being tried: how often by now, why the last try failed, and when the next one is."""

    name: str
    attempt: int
    failure: str | None
    next_at: datetime | None


async def pending_calls_of(
    description: WorkflowExecutionDescription, converter: DataConverter
) -> tuple[PendingCall, ...]:
    found = []
    for activity in description.raw_description.pending_activities:
        failure = None
        if activity.HasField("last_failure"):
            failure = str(await converter.decode_failure(activity.last_failure))
        waits = activity.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED and activity.attempt > 1
        next_at = activity.next_attempt_schedule_time.ToDatetime(UTC) if waits else None
        found.append(PendingCall(activity.activity_type.name, activity.attempt, failure, next_at))
    return tuple(found)
