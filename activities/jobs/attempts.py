"""What a job's function may ask and want while it runs: which attempt this is, and a job to follow it."""

from contextvars import ContextVar
from dataclasses import dataclass

from pydantic import BaseModel

from contracts.ids import job_id_after
from contracts.jobs import Job, JobType
from database.job_runs import JobRuns
from database.jobs import NewJob


@dataclass(frozen=True)
class Attempt:
    """The attempt that runs, as our books have its job, and those books."""

    job: Job
    runs: JobRuns


_attempt: ContextVar[Attempt] = ContextVar("attempt_of_job")


def begins(attempt: Attempt) -> None:
    """Note the attempt that begins in this context."""
    _attempt.set(attempt)


def attempt_number() -> int:
    """The number of the attempt that runs, counted from the job's first: an operator's retry goes on counting."""
    return _attempt.get().job.attempt


def next_job(job_type: JobType, arguments: BaseModel) -> NewJob:
    """The job of this type that follows the one that runs: its owner's, and one, however often it is made."""
    job = _attempt.get().job
    return NewJob(
        id=job_id_after(job.id, job_type.name),
        type=job_type.name,
        subject=job.subject,
        arguments=arguments.model_dump_json(),
        queue=job_type.queue,
        priority=job.priority,
        unique_key=job_type.unique_key_for(arguments),
    )


async def start_next(job_type: JobType, arguments: BaseModel) -> str:
    """Have a job of this type follow the one that runs, once, however often this runs. Returns its id."""
    following = next_job(job_type, arguments)
    await _attempt.get().runs.enqueue(following)
    return following.id
