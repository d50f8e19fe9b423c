"""The inside of a job's process: the attempt is run, and what there is to say of it is said as lines of JSON.

The worker believes none of it unchecked: who computes on what strangers send may be taken over by them.
"""

import multiprocessing
import os
import resource
import signal
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json
from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.testing import ActivityEnvironment

from activities.jobs.attempts import begins
from activities.jobs.runs import written
from contracts.jobs import Job
from contracts.text import MAX_CODE, MAX_MESSAGE, keepable

# Below everything else that the machine does.
NICENESS = 10
# The worker ends an attempt that takes too long. Should it be unable to, the system does, this much later.
OVERDUE_S = 10.0
TELL_EVERY_S = 0.1
# Characters, of which the last say where it was.
MAX_TRACEBACK = 20_000


def run(
    function: Callable[[Any], BaseModel],
    arguments: BaseModel,
    info: activity.Info,
    job: Job,
    sending: Connection,
    memory_bytes: int | None,
) -> None:
    """Run one attempt. What the process may do is bounded first."""
    _die_with_the_worker()
    _stay_within(info, memory_bytes)
    signal.signal(signal.SIGTERM, _cancel)
    begins(job)
    messages = _Messages(sending)
    try:
        text = written(_in_context(info, messages).run(function, arguments))
    except CancelledError:
        # Who told us to stop does not listen any more.
        return
    except ApplicationError as error:
        messages.failed(error.type or "failed", error.message, non_retryable=error.non_retryable)
    except MemoryError:
        messages.failed("out_of_memory", "The attempt took more memory than it may.")
    except Exception as error:
        # A type in lower case would be shown to the job's owner, with its message.
        name = type(error).__name__
        messages.failed(name[:1].upper() + name[1:], str(error), where=traceback.format_exc())
    else:
        messages.succeeded(text)


def _die_with_the_worker() -> None:
    """The pipe between us breaks when the worker is killed, however it was."""
    # Ctrl-C in a terminal comes to all of its processes; what follows from it is for the worker to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = multiprocessing.parent_process()
    assert worker is not None

    def follow() -> None:
        worker.join()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=follow, daemon=True).start()


def _stay_within(info: activity.Info, memory_bytes: int | None) -> None:
    os.nice(NICENESS)
    if info.start_to_close_timeout is not None:
        # Python has no say in it: the signal itself ends the process.
        signal.setitimer(signal.ITIMER_REAL, info.start_to_close_timeout.total_seconds() + OVERDUE_S)
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))


def _cancel(_signal: int, _frame: FrameType | None) -> None:
    # Once: what tidies up is left alone.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise CancelledError("told to stop")


def _in_context(info: activity.Info, messages: "_Messages") -> ActivityEnvironment:
    """What makes `activity.info()` and heartbeats work outside of a worker; tests are but one use of it."""
    environment = ActivityEnvironment()
    environment.info = info
    environment.on_heartbeat = messages.heartbeat
    return environment


class _Messages:
    """A line for each thing to say. Of heartbeats the last one counts, so most are left out."""

    def __init__(self, sending: Connection) -> None:
        self._sending = sending
        self._untold: tuple[Any, ...] | None = None
        self._tell_at = 0.0

    def heartbeat(self, *details: Any) -> None:
        self._untold = details
        if time.monotonic() >= self._tell_at:
            self._tell_at = time.monotonic() + TELL_EVERY_S
            self._tell()

    def succeeded(self, text: str) -> None:
        self._say_last(kind="result", text=text)

    def failed(self, code: str, message: str, *, non_retryable: bool = False, where: str | None = None) -> None:
        self._say_last(
            kind="failure",
            type=keepable(code, MAX_CODE),
            message=keepable(message, MAX_MESSAGE),
            non_retryable=non_retryable,
            traceback=keepable(where[-MAX_TRACEBACK:], MAX_TRACEBACK) if where is not None else None,
        )

    def _tell(self) -> None:
        if self._untold is not None:
            self._say(kind="heartbeat", details=self._untold)
            self._untold = None

    def _say_last(self, **message: Any) -> None:
        self._tell()
        # It ends by itself now.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self._say(**message)

    def _say(self, **message: Any) -> None:
        line = memoryview(to_json(message) + b"\n")
        while line:
            line = line[os.write(self._sending.fileno(), line) :]
