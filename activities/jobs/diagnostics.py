"""Jobs to try the system with."""

import asyncio

from temporalio.exceptions import ApplicationError

from activities.jobs.attempts import attempt_number
from activities.jobs.progress import tell_progress
from activities.jobs.registry import job
from contracts.job_types.diagnostics import ECHO, EchoArguments, EchoResult


@job(ECHO)
async def echo(arguments: EchoArguments) -> EchoResult:
    """Sleep second by second, fail for the first attempts, and then say the message again."""
    attempt = attempt_number()
    slept_s = 0.0
    while slept_s < arguments.sleep_s:
        tell_progress(int(slept_s), int(arguments.sleep_s), "sleeping")
        nap_s = min(1.0, arguments.sleep_s - slept_s)
        await asyncio.sleep(nap_s)
        slept_s += nap_s
    if attempt <= arguments.fail_times:
        raise ApplicationError(f"attempt {attempt} fails, as told", type="told_to_fail")
    tell_progress(int(arguments.sleep_s), int(arguments.sleep_s))
    return EchoResult(message=arguments.message, attempt=attempt)
