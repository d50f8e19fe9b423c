"""What a job's function may ask and want while it runs: which attempt this is, and a job to follow it."""

from contextvars import ContextVar

from pydantic import BaseModel
from temporalio.exceptions import ApplicationError

from contracts.ids import job_id_after
from contracts.jobs import MAX_ARGUMENTS_BYTES, Job, JobType
from database.job_runs import JobRuns
from database.jobs import NewJob

_job: ContextVar[Job] = ContextVar("job_that_runs")
_runs: ContextVar[JobRuns] = ContextVar("books_of_jobs")


def begins(job: Job, runs: JobRuns | None = None) -> None:
    """Note what runs in this context, as our books have it, and those books, which no process of a job reaches."""
    _job.set(job)
    if runs is not None:
        _runs.set(runs)


def job_that_runs() -> Job:
    """The job as our books have it since this attempt began."""
    return _job.get()


def attempt_number() -> int:
    """The number of the attempt that runs, counted from the job's first: an operator's retry goes on counting."""
    return _job.get().attempt


def next_job(job_type: JobType, arguments: BaseModel) -> NewJob:
    """The job of this type that follows the one that runs: its owner's, and one, however often it is made.

    Raises ApplicationError for arguments that are too large.
    """
    job = _job.get()
    text = arguments.model_dump_json()
    if len(text.encode()) > MAX_ARGUMENTS_BYTES:
        raise ApplicationError(
            f"the arguments of the next job have more than {MAX_ARGUMENTS_BYTES} bytes; keep them elsewhere, and pass"
            " an id",
            type="arguments_too_large",
            non_retryable=True,
        )
    return NewJob(
        id=job_id_after(job.id, job_type.name),
        type=job_type.name,
        subject=job.subject,
        arguments=text,
        queue=job_type.queue,
        priority=job.priority,
        unique_key=job_type.unique_key_for(arguments),
    )


async def start_next(job_type: JobType, arguments: BaseModel) -> str:
    """Have a job of this type follow the one that runs, once, however often this runs. Returns its id.

    For jobs that run in the event loop: our books are not to be had from threads and processes.
    """
    following = next_job(job_type, arguments)
    await _runs.get().enqueue(following)
    return following.id
