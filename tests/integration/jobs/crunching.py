"""Jobs that compute, each in a process of its own, which finds them here. They leave notes in a folder."""

import os
import signal
import time
from pathlib import Path

from pydantic import BaseModel
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.jobs.attempts import attempt_number
from activities.jobs.progress import earlier_progress, tell_progress
from activities.jobs.registry import job
from contracts import queues
from contracts.jobs import JobType, RunsIn


class Crunch(BaseModel, frozen=True):
    """Where to leave notes."""

    folder: Path

    def pid(self) -> int:
        """Of the process that runs this; 0 while there is none."""
        try:
            return int((self.folder / "pid").read_text() or 0)
        except FileNotFoundError:
            return 0

    def note_pid(self) -> None:
        (self.folder / "pid").write_text(str(os.getpid()))

    def told(self, name: str) -> bool:
        return (self.folder / name).exists()


class Crunched(BaseModel, frozen=True):
    """What is known inside of the process."""

    pid: int
    niceness: int
    activity_id: str
    attempt: int
    attempt_number: int
    earlier: int | None = None


CRUNCH = JobType(
    "bench", summary="Computes.", arguments=Crunch, result=Crunched, queue=queues.CPU, runs_in=RunsIn.PROCESS
)


def _crunched() -> Crunched:
    info, earlier = activity.info(), earlier_progress()
    return Crunched(
        pid=os.getpid(),
        niceness=os.nice(0),
        activity_id=info.activity_id,
        attempt=info.attempt,
        attempt_number=attempt_number(),
        earlier=earlier.done if earlier else None,
    )


@job(CRUNCH)
def well(arguments: Crunch) -> Crunched:
    """Tell more than anybody wants to hear, and succeed."""
    for number in range(10_000):
        tell_progress(number + 1, 10_000, "crunching")
    return _crunched()


@job(CRUNCH)
def refuses(arguments: Crunch) -> Crunched:
    raise ApplicationError("the numbers are odd", type="odd_numbers", non_retryable=True)


@job(CRUNCH)
def refuses_in_odd_words(arguments: Crunch) -> Crunched:
    raise ApplicationError("\x00 \ud800 " + "x" * 3 * 1024**2, type="odd_words", non_retryable=True)


@job(CRUNCH)
def breaks(arguments: Crunch) -> Crunched:
    raise ValueError("SELECT secret FROM somewhere")


@job(CRUNCH)
def endless(arguments: Crunch) -> Crunched:
    """Compute until told to stop, and tidy up then."""
    arguments.note_pid()
    try:
        while True:
            sum(range(1_000))
    finally:
        (arguments.folder / "tidied").touch()


@job(CRUNCH)
def deaf(arguments: Crunch) -> Crunched:
    """Compute, whatever one is told."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    arguments.note_pid()
    while True:
        sum(range(1_000))


@job(CRUNCH)
def greedy(arguments: Crunch) -> Crunched:
    """Take a gibibyte."""
    bytearray(1024**3)
    return _crunched()


@job(CRUNCH)
def dies_once(arguments: Crunch) -> Crunched:
    """Die as of a bug in a library, and succeed when tried again."""
    if activity.info().attempt == 1:
        tell_progress(7, 10)
        time.sleep(1)  # until it was told on
        os.kill(os.getpid(), signal.SIGSEGV)
    return _crunched()
