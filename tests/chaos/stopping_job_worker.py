"""The worker as it is, but for one thing: it dies of SIGKILL as the end of a job's attempt is written down.

python -m tests.chaos.stopping_job_worker HOME before|after
"""

import os
import signal
import sys
from functools import partial
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from contracts import queues
from contracts.jobs import Job, JobOutcome, JobProgress
from database.job_runs import JobRuns
from hosting import jobs as jobs_hosted
from stack import run
from stack.home import Home


class StoppingRuns(JobRuns):
    """Kills this process before or after an attempt has written its end."""

    def __init__(self, engine: AsyncEngine, *, moment: str) -> None:
        super().__init__(engine)
        self._moment = moment

    async def settle(
        self, job_id: str, outcome: JobOutcome, *, attempt: int, progress: JobProgress | None = None
    ) -> Job | None:
        if self._moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        job = await super().settle(job_id, outcome, attempt=attempt, progress=progress)
        os.kill(os.getpid(), signal.SIGKILL)
        return job


def main(home: str, moment: str) -> None:
    vars(jobs_hosted).update(JobRuns=partial(StoppingRuns, moment=moment))
    run.worker(Home(Path(home)), queues.ALL)


if __name__ == "__main__":
    main(*sys.argv[1:])
