"""Reports as clients see them."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from api.job_resource import JobResource
from contracts.jobs import JobError, JobProgress, JobStatus, JobSummary
from contracts.order_rows import RowFormat
from contracts.reports import Report, ReportType

_ID, _JOB_ID = "rpt_01K5X7M2N4R6W8Y0C3ZGVBHQ8S", "job_01K5X7M2N4R6W8Y0C3ZGVBHQ8S"
_REPORT: dict[str, Any] = {
    "id": _ID,
    "type": "orders",
    "from": "2026-03-01T00:00:00Z",
    "to": "2026-04-01T00:00:00Z",
    "format": "csv",
    "customer_id": "customer-1",
    "status": "running",
    "progress": {"done": 15_000, "total": 40_000, "note": "rows stored"},
    "last_error": None,
    "rows": None,
    "size": None,
    "sha256": None,
    "created_at": "2026-04-01T08:00:00Z",
    "finished_at": None,
    "expires_at": None,
    "next_retry_at": None,
    "stale": False,
    "links": {"self": f"/v1/reports/{_ID}", "download": f"/v1/reports/{_ID}/download", "job": f"/v1/jobs/{_JOB_ID}"},
}


class ReportLinks(BaseModel, frozen=True):
    """Where to go from here; the job, which a token with `jobs:write` may cancel."""

    self: str
    download: str
    job: str


class ReportSummaryResource(BaseModel):
    """A report, as lists show it."""

    model_config = ConfigDict(
        frozen=True, validate_by_name=True, serialize_by_alias=True, json_schema_extra={"examples": [_REPORT]}
    )

    id: str
    type: ReportType
    accepted_from: datetime = Field(alias="from")
    accepted_before: datetime = Field(alias="to")
    format: RowFormat
    customer_id: str | None = Field(description="whose orders are in it; null: everybody's")
    status: JobStatus = Field(description="as of the job that writes it; `succeeded`: it can be downloaded")
    progress: JobProgress | None = Field(default=None, description="in rows")
    last_error: JobError | None = Field(default=None, description="why the last attempt that failed did")
    rows: int | None = Field(default=None, description="with `succeeded`, as are size and sha256")
    size: int | None = Field(default=None, description="in bytes")
    sha256: str | None = Field(default=None, description="of the file, in hexadecimal; its ETag, too")
    created_at: datetime
    finished_at: datetime | None = None
    expires_at: datetime | None = Field(default=None, description="with `succeeded`: from then on it is gone")
    links: ReportLinks

    @classmethod
    def of(cls, report: Report, job: JobSummary) -> Self:
        return cls.model_validate(_shown(report, job))


class ReportResource(ReportSummaryResource):
    """A report."""

    next_retry_at: datetime | None = Field(default=None, description="with `retrying`")
    stale: bool = Field(default=False, description="Temporal does not answer; this is what was written down last")

    @classmethod
    def now(cls, report: Report, job: JobResource) -> Self:
        """A report as it is, by its job as that is."""
        details = {} if report.file else {"next_retry_at": job.next_retry_at, "stale": job.stale}
        return cls.model_validate({**_shown(report, job), **details})


class ReportList(BaseModel, frozen=True):
    """A page of reports, newest first, as our books have them."""

    items: tuple[ReportSummaryResource, ...]
    next_cursor: str | None


def _shown(report: Report, job: JobSummary | JobResource) -> dict[str, Any]:
    url = f"/v1/reports/{report.id}"
    shown = {
        **report.terms.model_dump(),
        "type": report.type,
        "status": job.status,
        "progress": job.progress,
        "last_error": job.last_error,
        "created_at": report.created_at,
        "finished_at": job.finished_at,
        "links": ReportLinks(self=url, download=f"{url}/download", job=f"/v1/jobs/{report.job_id}"),
    }
    if (file := report.file) is None:
        return shown
    # It is there, whatever became of the attempt that wrote it.
    return shown | {
        **file.model_dump(include={"rows", "size", "sha256", "expires_at"}),
        "status": JobStatus.SUCCEEDED,
        "progress": JobProgress(done=file.rows, total=file.rows, note="rows stored"),
        "finished_at": file.written_at,
    }
