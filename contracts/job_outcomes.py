"""How Temporal says that a job ended, or how far it is."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from temporalio import exceptions
from temporalio.client import ActivityExecutionDescription, ActivityExecutionStatus
from temporalio.exceptions import ApplicationError, TimeoutType

from contracts.jobs import JobError, JobOutcome, JobProgress, JobStatus

ENDS = {
    ActivityExecutionStatus.COMPLETED: JobStatus.SUCCEEDED,
    ActivityExecutionStatus.FAILED: JobStatus.FAILED,
    ActivityExecutionStatus.CANCELED: JobStatus.CANCELLED,
    # By somebody in the Web UI.
    ActivityExecutionStatus.TERMINATED: JobStatus.CANCELLED,
    ActivityExecutionStatus.TIMED_OUT: JobStatus.TIMED_OUT,
}
UNEXPECTED = "The job failed in a way that it does not foresee; the worker's log says more."


async def outcome_of(description: ActivityExecutionDescription) -> JobOutcome | None:
    """None while the job is not over. The description must have been asked for with its outcome."""
    status = ENDS.get(description.status)
    if status is None:
        return None
    if status is JobStatus.SUCCEEDED:
        return JobOutcome(status=status, result=json.dumps(await description.result()), attempt=description.attempt)
    # A job that is told to stop is not tried again: when it fails or loses its worker then, Temporal says so. Of its
    # last failure our books have heard before; and whether Temporal's last attempt began it does not say.
    if status is JobStatus.CANCELLED or description.canceled_reason is not None:
        return JobOutcome(status=JobStatus.CANCELLED)
    failure = await description.outcome_failure()
    error = error_of(failure) if failure is not None else None
    return JobOutcome(status=status, error=error, attempt=description.attempt)


def error_of(failure: BaseException) -> JobError:
    """What may be told of a failure: what the job raised on purpose, and no inside of what it did not."""
    match failure:
        case exceptions.TimeoutError(type=TimeoutType.HEARTBEAT):
            return JobError(code="worker_lost", message="The worker that ran this attempt was lost.")
        case exceptions.TimeoutError():
            return JobError(code="timed_out", message="The attempt took longer than it may.")
        case ApplicationError(type=str(code)) if code.islower():
            return JobError(code=code, message=failure.message)
        case _:
            return JobError(code="unexpected_error", message=UNEXPECTED)


def progress_of(details: Sequence[Any] | None) -> JobProgress | None:
    """The progress in the details of a heartbeat; a job may also beat with details of its own."""
    try:
        return JobProgress.model_validate(details[0]) if details else None
    except ValidationError:
        return None
