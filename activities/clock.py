"""The time that goes into our books."""

from datetime import datetime

from temporalio import activity


def attempt_time(started_at: datetime) -> datetime:
    """The workflow's clock at this attempt: the workflow's time at the start, and the retries' waits since.

    The worker's own clock would not do: the server's differs, and may have been skipped ahead.
    """
    info = activity.info()
    if info.is_local:
        return started_at
    return started_at + (info.current_attempt_scheduled_time - info.scheduled_time)
