"""Batches of jobs as clients see them."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from contracts.job_batches import BatchProgress, FailedItem, JobBatch
from contracts.jobs import JobStatus

# The others are in the list that `links.failed` leads to.
FAILURES_SHOWN = 20

_ID = "bat_01K5X7M2N4R6W8Y0C3ZGVBHQ8S"
_URL = f"/v1/jobs/batch/{_ID}"
_LIST = f"/v1/jobs?batch={_ID}"
_AT = "2026-03-01T12:00:00Z"


class BatchStatus(StrEnum):
    """Whether all of a batch's jobs have ended."""

    RUNNING = "running"
    FINISHED = "finished"


class BatchLinks(BaseModel, frozen=True):
    """Where to go from here."""

    self: str
    cancel: str
    jobs: str
    failed: str
    timed_out: str


class BatchCompletion(BaseModel, frozen=True):
    """How many jobs have ended, whichever way, and how many there are."""

    done: int
    total: int


class BatchFailures(BaseModel, frozen=True):
    """How many jobs failed or timed out, and the first of them in the order of the request."""

    count: int
    first: tuple[FailedItem, ...]


class BatchResource(BaseModel):
    """A batch: many jobs of one type."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "id": _ID,
                    "type": "diagnostics.echo",
                    "status": "running",
                    "subject": "customer-1",
                    "queue": "jobs-bulk",
                    "priority": 3,
                    "counts": {
                        "scheduled": 0,
                        "queued": 8000,
                        "running": 90,
                        "retrying": 10,
                        "succeeded": 1899,
                        "failed": 1,
                        "cancelled": 0,
                        "timed_out": 0,
                    },
                    "progress": {"done": 1900, "total": 10_000},
                    "failures": {
                        "count": 1,
                        "first": [
                            {
                                "id": "job_01K5X7M2N4R6W8Y0C3ZGVBHQ8S",
                                "item": 17,
                                "status": "failed",
                                "error": {"code": "told_to_fail", "message": "attempt 5 fails, as told"},
                            }
                        ],
                    },
                    "created_at": _AT,
                    "finished_at": None,
                    "cancel_requested": False,
                    "links": {
                        "self": _URL,
                        "cancel": f"{_URL}/cancel",
                        "jobs": _LIST,
                        "failed": f"{_LIST}&status=failed",
                        "timed_out": f"{_LIST}&status=timed_out",
                    },
                }
            ]
        },
    )

    id: str
    type: str
    status: BatchStatus
    subject: str = Field(description="the token subject whose it is")
    queue: str
    priority: int
    counts: dict[JobStatus, int] = Field(description="of its jobs, by status")
    progress: BatchCompletion
    failures: BatchFailures
    created_at: datetime
    finished_at: datetime | None = Field(default=None, description="when the last job ended")
    cancel_requested: bool
    links: BatchLinks

    @classmethod
    def of(cls, batch: JobBatch, progress: BatchProgress) -> Self:
        counts = {status: progress.counts.get(status, 0) for status in JobStatus}
        url, jobs = f"/v1/jobs/batch/{batch.id}", f"/v1/jobs?batch={batch.id}"
        shown: dict[str, Any] = batch.model_dump(exclude={"total", "cancel_requested_at"})
        return cls(
            **shown,
            status=BatchStatus.RUNNING if progress.finished_at is None else BatchStatus.FINISHED,
            counts=counts,
            progress=BatchCompletion(
                done=sum(count for status, count in counts.items() if status.is_final), total=batch.total
            ),
            failures=BatchFailures(count=counts[JobStatus.FAILED] + counts[JobStatus.TIMED_OUT], first=progress.failed),
            finished_at=progress.finished_at,
            cancel_requested=batch.cancel_requested_at is not None,
            links=BatchLinks(
                self=url,
                cancel=f"{url}/cancel",
                jobs=jobs,
                failed=f"{jobs}&status=failed",
                timed_out=f"{jobs}&status=timed_out",
            ),
        )
