"""How a job tells how far it is. What it told last, its next attempt can ask for."""

from temporalio import activity

from contracts.job_outcomes import progress_of
from contracts.jobs import JobProgress


def tell_progress(done: int, total: int | None = None, note: str | None = None) -> None:
    """Tell it with the next heartbeat; as often as one likes, for most are left out."""
    activity.heartbeat(JobProgress(done=done, total=total, note=note))


def earlier_progress() -> JobProgress | None:
    """What the attempt before this one told last: where to go on."""
    return progress_of(activity.info().heartbeat_details)
