"""How workflows call activities: our own books, and providers. Fast when well, visible when not."""

import time  # noqa: TID251  # for what no history holds: see _local_window
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception
from temporalio.exceptions import TimeoutError as TimedOut

from contracts.books import Progress, ProviderStep

Activities = TypeVar("Activities")
Input = TypeVar("Input")
Standing = TypeVar("Standing")

# docs/orders.md gives the reason of each number.
# Over well before the SDK renews the workflow task, after 1.6 s: what comes between a renewal and the end of a local
# try may be replayed in another order (docs/decisions/local-tries-and-renewed-tasks.md).
BOOKS_LOCAL_WINDOW = timedelta(seconds=1)
PROVIDER_LOCAL_WINDOW = timedelta(seconds=1.2)
LOCAL_TRIES_END_AFTER = timedelta(seconds=1.4)
# A local try that has less time than this left has none.
NO_TIME = timedelta(milliseconds=1)
BOOKS_TRY = timedelta(seconds=5)
BOOKS_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=0.1), maximum_interval=timedelta(seconds=5))
PROVIDER_TRY = timedelta(seconds=20)
# For attempts that were lost, with their worker or in silence; those that end say themselves when the next is due.
PROVIDER_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=0.1), maximum_interval=timedelta(seconds=30))
HEARTBEAT_TIMEOUT = timedelta(seconds=2)
ONCE = RetryPolicy(maximum_attempts=1)


class Refused(Exception):
    """The answer was no, for good. `progress` is where our books stand."""

    def __init__(self, code: str, message: str, progress: Progress) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.progress = progress


class GaveUp(Exception):
    """Neither done nor refused in the time that retries have."""


class Stopped(Exception):
    """The caller lost interest while the provider was being retried; the outcome is not known."""


async def book(activity: Callable[[Activities, Input], Awaitable[Standing]], booking: Input, *, what: str) -> Standing:
    """Write to our books: as a local activity, and when that is not done at once, for ever as a visible one.

    Returns where they stand then. Raises ApplicationError when they refuse the booking.
    """
    try:
        return await workflow.execute_local_activity_method(
            activity,
            booking,
            schedule_to_close_timeout=_local_window(BOOKS_LOCAL_WINDOW),
            retry_policy=BOOKS_RETRIES,
            summary=what,
        )
    except FailureError as error:
        if is_cancelled_exception(error):
            raise
        raised = _application_error(error)
        if raised is not None and raised.non_retryable:
            raise raised from None
    try:
        return await workflow.execute_activity_method(
            activity,
            booking,
            start_to_close_timeout=BOOKS_TRY,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=BOOKS_RETRIES,
            summary=what,
        )
    except FailureError as error:
        raise _application_error(error) or error from None


async def call_provider(
    activity: Callable[[Activities, ProviderStep[Any]], Awaitable[Progress]],
    announced: ProviderStep[Any],
    *,
    task_queue: str,
    window: timedelta | None,
    what: str,
    on_trouble: Callable[[], None],
    stop: Callable[[], bool],
) -> Progress:
    """Call a provider: once inside this workflow task, then as a regular activity that operators see.

    Both make the very same request under the same key. `on_trouble` is called in between; the regular activity is
    given up after `window` (None: never), and abandoned when `stop` becomes true.

    Raises Refused, GaveUp or Stopped.
    """
    try:
        return await workflow.execute_local_activity_method(
            activity,
            announced,
            schedule_to_close_timeout=_local_window(PROVIDER_LOCAL_WINDOW),
            retry_policy=ONCE,
            summary=what,
        )
    except FailureError as error:
        if refused := _refusal(error):
            raise refused from error
    on_trouble()
    attempts = workflow.start_activity_method(
        activity,
        announced,
        task_queue=task_queue,
        start_to_close_timeout=PROVIDER_TRY,
        schedule_to_close_timeout=window,
        heartbeat_timeout=HEARTBEAT_TIMEOUT,
        retry_policy=PROVIDER_RETRIES,
        # Stopped, it may just have had its effect: hear of that before anything is undone.
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=what,
    )
    await workflow.wait_condition(lambda: attempts.done() or stop())
    stopped = not attempts.done()
    if stopped:
        attempts.cancel()
    try:
        return await attempts
    except FailureError as error:
        if refused := _refusal(error):
            raise refused from error
        # Whatever else has happened meanwhile: attempts that were stopped have not been given their time.
        if stopped or stop():
            raise Stopped from error
        raise GaveUp(_reason(error)) from error


def _local_window(longest: timedelta) -> timedelta:
    """How long a local try may take: less on a worker that is late with its workflow task.

    Reads the real clock: a local activity's time-out is not in the history, what came of it is.
    """
    # The time of the workflow is that of its task's start, or of the end of a local activity since.
    late = timedelta(seconds=max(0.0, time.time() - workflow.now().timestamp()))
    return max(NO_TIME, min(longest, LOCAL_TRIES_END_AFTER - late))


def _application_error(error: BaseException) -> ApplicationError | None:
    """The error an activity raised: bare from a local activity, the cause of an ActivityError from a regular one."""
    if isinstance(error, ActivityError):
        return error.cause if isinstance(error.cause, ApplicationError) else None
    return error if isinstance(error, ApplicationError) else None


def _refusal(error: FailureError) -> Refused | None:
    raised = _application_error(error)
    if raised is None or not raised.details:
        return None
    return Refused(raised.type or "refused", raised.message, Progress.model_validate(raised.details[0]))


def _reason(error: FailureError) -> str:
    """What the last attempt that came to its end said. That it was too late for another one explains nothing."""
    cause: BaseException = error
    while isinstance(cause, ActivityError | TimedOut) and cause.cause is not None:
        cause = cause.cause
    if isinstance(cause, TimedOut):
        return "no attempt came to its end"
    return cause.message if isinstance(cause, FailureError) else str(cause)
