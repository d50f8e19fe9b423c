"""Background jobs: what a job type declares, and what our books say of a job."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from pydantic import BaseModel, Field, NonNegativeInt

from contracts import queues
from contracts.text import ToldCode, ToldMessage, ToldNote

HIGHEST_PRIORITY, DEFAULT_PRIORITY, LOWEST_PRIORITY = 1, 3, 5
MAX_ARGUMENTS_BYTES = MAX_RESULT_BYTES = 256 * 1024


class JobStatus(StrEnum):
    """Where a job is, and how it ended; docs/decisions/jobs-status.md says who knows."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"

    @property
    def is_final(self) -> bool:
        return self in FINAL_STATUSES


FINAL_STATUSES = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.TIMED_OUT})


class RunsIn(StrEnum):
    """Where a job's function runs: a coroutine on the worker's event loop, a function that waits in a thread, or one
    that computes in a process of its own.
    """

    EVENT_LOOP = "event_loop"
    THREAD = "thread"
    PROCESS = "process"


class Retries(BaseModel, frozen=True):
    """How often a job is tried in all, and how long is waited: doubled each time, up to `at_most_s` seconds."""

    attempts: int = Field(default=5, ge=1)
    first_after_s: float = Field(default=1.0, gt=0)
    at_most_s: float = Field(default=60.0, gt=0)


DEFAULT_RETRIES = Retries()


@dataclass(frozen=True)
class JobType:
    """A named kind of job: all that the API, the relay and the documentation need to know of it.

    `timeout_s` bounds one attempt. A `rate_limit` (starts per second, over all workers) is its queue's, since Temporal
    limits queues: such a job must be alone on its queue. One that runs in a process must be on the queue `cpu`.
    `unique_by` names fields of the arguments that make the unique key of a job whose caller gives none. One that is not
    `offered` over `POST /v1/jobs` is asked for through a resource of its own, which knows who may ask for what.
    """

    name: str
    summary: str
    arguments: type[BaseModel]
    result: type[BaseModel]
    retries: Retries = DEFAULT_RETRIES
    timeout_s: float = 300.0
    queue: str = queues.JOBS
    rate_limit: float | None = None
    unique_by: tuple[str, ...] = ()
    runs_in: RunsIn = RunsIn.EVENT_LOOP
    offered: bool = True

    @property
    def allowed_queues(self) -> tuple[str, ...]:
        """Where such a job may be sent; one that is limited, runs in a process or is not offered stays on its queue."""
        may_choose = self.offered and self.rate_limit is None and self.runs_in is not RunsIn.PROCESS
        return queues.FOR_JOBS if may_choose else (self.queue,)

    def unique_key_for(self, arguments: BaseModel) -> str | None:
        """The key of a job with these arguments whose caller gives none."""
        if not self.unique_by:
            return None
        return sha256(arguments.model_dump_json(include=set(self.unique_by)).encode()).hexdigest()


class JobProgress(BaseModel, frozen=True):
    """How far a job says it is, in units of its own."""

    done: NonNegativeInt
    total: NonNegativeInt | None = None
    note: ToldNote | None = None


class JobError(BaseModel, frozen=True):
    """Why an attempt, or the job, ended without a result. Programs go by `code`."""

    code: ToldCode
    message: ToldMessage


class JobOutcome(BaseModel, frozen=True):
    """How a job ended; the result is JSON, and the attempt the one that ended it, by Temporal's count."""

    status: JobStatus
    result: str | None = None
    error: JobError | None = None
    attempt: int | None = None


class JobSummary(BaseModel, frozen=True):
    """A job as our books have it, without what may be large.

    `attempt` counts the attempts that began, and `last_error` is that of the last one that failed. Temporal counts from
    1 again after each of its `restarts`, when `earlier_attempts` had begun: an operator's, or one for a later time.
    """

    id: str
    type: str
    subject: str
    queue: str
    priority: int
    unique_key: str | None
    status: JobStatus
    attempt: NonNegativeInt
    restarts: NonNegativeInt
    earlier_attempts: NonNegativeInt
    progress: JobProgress | None
    last_error: JobError | None
    run_at: datetime
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    batch_id: str | None


class Job(JobSummary, frozen=True):
    """A job as our books have it; arguments and result are JSON."""

    arguments: str
    result: str | None
