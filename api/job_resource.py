"""Jobs and their types as clients see them."""

import json
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from contracts.jobs import Job, JobError, JobProgress, JobStatus, JobSummary, JobType

_URL = "/v1/jobs/job_01K5X7M2N4R6W8Y0C3ZGVBHQ8S"
_JOB: dict[str, Any] = {
    "id": "job_01K5X7M2N4R6W8Y0C3ZGVBHQ8S",
    "type": "diagnostics.echo",
    "status": "retrying",
    "subject": "customer-1",
    "arguments": {"message": "hello", "fail_times": 1, "sleep_s": 0},
    "queue": "jobs",
    "priority": 3,
    "unique_key": None,
    "attempt": 1,
    "progress": {"done": 3, "total": 10, "note": "sleeping"},
    "last_error": {"code": "told_to_fail", "message": "attempt 1 fails, as told"},
    "next_retry_at": "2026-03-01T12:00:01Z",
    "result": None,
    "run_at": "2026-03-01T12:00:00Z",
    "created_at": "2026-03-01T12:00:00Z",
    "started_at": "2026-03-01T12:00:00Z",
    "finished_at": None,
    "cancel_requested": False,
    "batch": None,
    "stale": False,
    "links": {
        "self": _URL,
        "events": f"{_URL}/events",
        "cancel": f"{_URL}/cancel",
        "reschedule": f"{_URL}/reschedule",
    },
}


class JobLinks(BaseModel, frozen=True):
    """Where to go from here."""

    self: str
    events: str
    cancel: str
    reschedule: str


class LiveDetails(BaseModel, frozen=True):
    """What Temporal says of a job that is not over."""

    status: JobStatus
    attempt: int
    progress: JobProgress | None
    last_error: JobError | None
    next_retry_at: datetime | None


class JobSummaryResource(BaseModel):
    """A job, as lists show it: without its arguments and its result, which may be large."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_JOB]})

    id: str
    type: str
    status: JobStatus
    subject: str = Field(description="the token subject whose it is")
    queue: str
    priority: int
    unique_key: str | None = None
    attempt: int = Field(description="the attempts that have begun")
    progress: JobProgress | None = Field(default=None, description="what the job said last of how far it is")
    last_error: JobError | None = Field(default=None, description="why the last attempt that failed did")
    run_at: datetime = Field(description="it begins no sooner")
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_requested: bool
    batch: str | None = Field(default=None, description="the batch it came with")
    links: JobLinks

    @classmethod
    def of(cls, job: JobSummary) -> Self:
        return cls.model_validate(_shown(job))


class JobResource(JobSummaryResource):
    """A job."""

    arguments: Any
    next_retry_at: datetime | None = Field(default=None, description="with `retrying`")
    result: Any = Field(default=None, description="with `succeeded`, as the job's type describes it")
    stale: bool = Field(default=False, description="Temporal does not answer; this is what was written down last")

    @classmethod
    def now(cls, job: Job, live: LiveDetails | None = None, *, stale: bool = False) -> Self:
        """A job as our books have it, or with what Temporal says instead."""
        return cls.model_validate(
            {
                **_shown(job),
                **(live.model_dump() if live is not None else {}),
                "arguments": json.loads(job.arguments),
                "result": json.loads(job.result) if job.result is not None else None,
                "stale": stale,
            }
        )


class JobState(BaseModel, frozen=True):
    """What of a job changes while one watches it."""

    status: JobStatus
    attempt: int
    progress: JobProgress | None
    last_error: JobError | None
    next_retry_at: datetime | None

    @classmethod
    def of(cls, job: JobResource) -> Self:
        return cls(**{name: getattr(job, name) for name in cls.model_fields})


class JobList(BaseModel, frozen=True):
    """A page of jobs, newest first, as our books have them."""

    items: tuple[JobSummaryResource, ...]
    next_cursor: str | None


class JobTypeResource(BaseModel, frozen=True):
    """A kind of job: what it takes and returns, as JSON Schema 2020-12, and what is promised for it."""

    name: str = Field(examples=["diagnostics.echo"])
    summary: str
    arguments: dict[str, Any]
    result: dict[str, Any]
    queue: str
    queues: tuple[str, ...] = Field(description="what `queue` may be")
    max_attempts: int
    timeout_s: float = Field(description="of one attempt")

    @classmethod
    def of(cls, job_type: JobType) -> Self:
        return cls(
            name=job_type.name,
            summary=job_type.summary,
            arguments=job_type.arguments.model_json_schema(),
            result=job_type.result.model_json_schema(mode="serialization"),
            queue=job_type.queue,
            queues=job_type.allowed_queues,
            max_attempts=job_type.retries.attempts,
            timeout_s=job_type.timeout_s,
        )


class JobTypeList(BaseModel, frozen=True):
    """Every kind of job there is."""

    items: tuple[JobTypeResource, ...]
    next_cursor: None = None


def _shown(job: JobSummary) -> dict[str, Any]:
    url = f"/v1/jobs/{job.id}"
    return {
        **job.model_dump(),
        "batch": job.batch_id,
        "cancel_requested": job.cancel_requested_at is not None,
        "links": JobLinks(self=url, events=f"{url}/events", cancel=f"{url}/cancel", reschedule=f"{url}/reschedule"),
    }
