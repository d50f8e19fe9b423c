"""A job's function is what its type says, every type has one, and the API needs neither."""

import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from activities.jobs.catalogue import CatalogueJobs
from activities.jobs.functions import job_functions
from activities.jobs.images import ImageJobs
from activities.jobs.registry import Misdeclared, complete, job, queues_of, rate_limit_of
from activities.jobs.reports import ReportJobs
from contracts import queues
from contracts.job_types import JOB_TYPES
from contracts.job_types.diagnostics import ECHO, EchoArguments, EchoResult
from contracts.jobs import JobType, RunsIn


async def echo(arguments: EchoArguments) -> EchoResult:
    return EchoResult(message=arguments.message, attempt=1)


@pytest.fixture
def functions() -> Sequence[Callable[..., Any]]:
    """Those that the worker runs; none of them is called here."""
    return job_functions(object.__new__(ReportJobs), object.__new__(CatalogueJobs), object.__new__(ImageJobs))


def test_every_job_type_has_its_function(functions: Sequence[Callable[..., Any]]) -> None:
    assert [function.job_type for function in functions] == list(JOB_TYPES.values())  # type: ignore[attr-defined]


def test_a_type_without_a_function_and_a_function_without_a_type_are_refused(
    functions: Sequence[Callable[..., Any]],
) -> None:
    with pytest.raises(Misdeclared, match="functions for"):
        complete((), JOB_TYPES)
    with pytest.raises(Misdeclared, match="functions for"):
        complete(functions, {})
    with pytest.raises(Misdeclared, match="functions for"):
        complete((*functions, *functions))
    with pytest.raises(Misdeclared, match="@job"):
        complete((echo,))


def test_a_function_of_other_arguments_or_another_result_is_refused() -> None:
    async def no_result(arguments: EchoArguments) -> None: ...

    async def no_arguments() -> EchoResult: ...  # type: ignore[empty-body]

    for function in (no_result, no_arguments):
        with pytest.raises(Misdeclared, match="takes one EchoArguments and returns a EchoResult"):
            job(ECHO)(function)


def test_a_function_that_would_block_the_event_loop_is_refused() -> None:
    def blocking(arguments: EchoArguments) -> EchoResult:
        return EchoResult(message=arguments.message, attempt=1)

    with pytest.raises(Misdeclared, match="in a thread"):
        job(ECHO)(blocking)
    with pytest.raises(Misdeclared, match="in a thread"):
        job(replace(ECHO, runs_in=RunsIn.THREAD))(echo)
    assert job(replace(ECHO, runs_in=RunsIn.THREAD))(blocking) is blocking


def test_a_job_with_a_rate_limit_must_be_alone_on_its_queue() -> None:
    limited = replace(ECHO, rate_limit=5.0)
    alone = replace(limited, queue="jobs-limited")
    other = replace(ECHO, name="diagnostics.other")
    functions = [job(job_type)(_copy()) for job_type in (limited, other)]

    with pytest.raises(Misdeclared, match="alone"):
        complete(functions, {"diagnostics.echo": limited, "diagnostics.other": other})
    complete(functions, job_types := {"diagnostics.echo": alone, "diagnostics.other": other})
    assert rate_limit_of("jobs-limited", job_types) == 5.0
    assert rate_limit_of(queues.JOBS, job_types) is None
    assert queues_of(job_types) == ("jobs-limited", *queues.FOR_JOBS)


def test_a_job_that_is_not_offered_stays_on_its_queue() -> None:
    assert replace(ECHO, queue="jobs-own", offered=False).allowed_queues == ("jobs-own",)


@pytest.mark.parametrize(
    "misplaced", [replace(ECHO, queue=queues.CPU), replace(ECHO, runs_in=RunsIn.PROCESS)], ids=["queue", "runs_in"]
)
def test_what_runs_in_a_process_and_nothing_else_is_on_its_queue(misplaced: JobType) -> None:
    function = job(misplaced)(_blocking() if misplaced.runs_in is RunsIn.PROCESS else _copy())

    with pytest.raises(Misdeclared, match="queue cpu"):
        complete([function], {misplaced.name: misplaced})
    in_its_place = replace(ECHO, queue=queues.CPU, runs_in=RunsIn.PROCESS)
    complete([job(in_its_place)(_blocking())], {in_its_place.name: in_its_place})
    assert in_its_place.allowed_queues == (queues.CPU,)


def test_every_queue_that_jobs_come_on_is_one_that_workers_poll() -> None:
    assert set(queues_of()) <= set(queues.ALL)


def test_a_job_that_is_unique_by_what_its_arguments_lack_is_refused() -> None:
    unique = replace(ECHO, unique_by=("message", "customer"))

    with pytest.raises(Misdeclared, match="customer"):
        complete([job(unique)(_copy())], {"diagnostics.echo": unique})


def test_a_unique_type_makes_the_same_key_of_the_arguments_that_it_is_unique_by_alone() -> None:
    unique = replace(ECHO, unique_by=("message",))
    hello = unique.unique_key_for(EchoArguments(message="hello"))

    assert hello is not None
    assert unique.unique_key_for(EchoArguments(message="hello", sleep_s=1)) == hello
    assert unique.unique_key_for(EchoArguments(message="hallo")) != hello
    assert ECHO.unique_key_for(EchoArguments(message="hello")) is None


def test_the_api_knows_the_schemas_without_importing_what_runs_the_jobs() -> None:
    script = "import sys, api.jobs; print([name for name in sys.modules if name.startswith('activities.jobs')])"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def _blocking() -> Callable[[EchoArguments], EchoResult]:
    def copied(arguments: EchoArguments) -> EchoResult:
        return EchoResult(message=arguments.message, attempt=1)

    return copied


def _copy() -> Callable[[EchoArguments], Awaitable[EchoResult]]:
    async def copied(arguments: EchoArguments) -> EchoResult:
        return await echo(arguments)

    return copied
