"""The worker as it is, but for the echo, which blocks the event loop while it should let others go on.

python -m tests.integration.jobs.worker_that_blocks HOME
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from activities.jobs import functions
from activities.jobs.registry import job
from contracts import queues
from contracts.job_types.diagnostics import ECHO, EchoArguments, EchoResult
from hosting import jobs as jobs_hosted
from stack import run
from stack.home import Home


@job(ECHO)
async def impolite_echo(arguments: EchoArguments) -> EchoResult:
    time.sleep(arguments.sleep_s)  # noqa: ASYNC251  # what must not be done
    return EchoResult(message=arguments.message, attempt=1)


def job_functions(*needed: Any) -> tuple[Callable[..., Any], ...]:
    return (impolite_echo, *functions.job_functions(*needed)[1:])


if __name__ == "__main__":
    vars(jobs_hosted).update(job_functions=job_functions)
    run.worker(Home(Path(sys.argv[1])), queues.ALL)
