"""What runs the jobs: a function for every job type, and for each no other."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, get_type_hints

from temporalio import activity

from contracts import queues
from contracts.job_types import JOB_TYPES
from contracts.jobs import JobType, RunsIn

Function = TypeVar("Function", bound=Callable[..., Any])


class Misdeclared(TypeError):
    """A job's function is not what its type says, or there are job types that cannot be run as they are declared."""


def job(job_type: JobType) -> Callable[[Function], Function]:
    """Declare that a function runs the jobs of a type. Raises Misdeclared when it cannot."""

    def declare(function: Function) -> Function:
        hints = get_type_hints(function)
        returned = hints.pop("return", None)
        if list(hints.values()) != [job_type.arguments] or returned is not job_type.result:
            raise Misdeclared(
                f"{job_type.name}: its function takes one {job_type.arguments.__name__} and returns a"
                f" {job_type.result.__name__}"
            )
        if inspect.iscoroutinefunction(function) != (job_type.runs_in is RunsIn.EVENT_LOOP):
            raise Misdeclared(
                f"{job_type.name}: a coroutine runs in the event loop, a plain function in a thread or a process"
            )
        function.job_type = job_type  # type: ignore[attr-defined]
        return activity.defn(name=job_type.name)(function)

    return declare


def complete(functions: Sequence[Callable[..., Any]], job_types: Mapping[str, JobType] = JOB_TYPES) -> None:
    """Raises Misdeclared unless each job type has its function, and each limited one a queue of its own."""
    found = sorted(type_of(function).name for function in functions)
    if found != sorted(job_types):
        raise Misdeclared(f"job types {sorted(job_types)}, and functions for {found}")
    for job_type in job_types.values():
        unknown = set(job_type.unique_by) - job_type.arguments.model_fields.keys()
        if unknown:
            raise Misdeclared(f"{job_type.name}: unique by {sorted(unknown)}, which its arguments lack")
        if (job_type.runs_in is RunsIn.PROCESS) != (job_type.queue == queues.CPU):
            raise Misdeclared(f"{job_type.name}: what runs in a process is on the queue {queues.CPU}, and nothing else")
        neighbours = [other.name for other in job_types.values() if job_type.queue in other.allowed_queues]
        if job_type.rate_limit is not None and neighbours != [job_type.name]:
            raise Misdeclared(f"{job_type.name}: with a rate limit it must be alone on its queue")


def type_of(function: Callable[..., Any]) -> JobType:
    """The type whose jobs a function runs. Raises Misdeclared."""
    declared = getattr(function, "job_type", None)
    if not isinstance(declared, JobType):
        raise Misdeclared(f"{function.__name__}: put @job(...) on it")
    return declared


def rate_limit_of(queue: str, job_types: Mapping[str, JobType] = JOB_TYPES) -> float | None:
    """How many jobs of a queue begin per second, over all workers; None for any number."""
    return next((found.rate_limit for found in job_types.values() if found.queue == queue), None)


def queues_of(job_types: Mapping[str, JobType] = JOB_TYPES) -> tuple[str, ...]:
    """Every queue that jobs may come on."""
    return tuple(dict.fromkeys(queue for found in job_types.values() for queue in found.allowed_queues))
