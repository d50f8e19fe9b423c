"""Jobs that write reports. They are asked for by `POST /v1/reports`."""

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from contracts import queues
from contracts.jobs import JobType, Retries
from contracts.reports import ReportId


class WriteReport(BaseModel):
    """Which report to write; our books say what is to be in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    report_id: ReportId


class ReportWritten(BaseModel, frozen=True):
    """How many rows are in the report."""

    rows: NonNegativeInt


ORDERS_REPORT = JobType(
    "reports.orders",
    summary="Writes a report of orders into the object store.",
    arguments=WriteReport,
    result=ReportWritten,
    # Each attempt goes on behind the last finished part, and a store may be away for minutes.
    retries=Retries(attempts=20, first_after_s=1, at_most_s=10),
    timeout_s=60 * 60,
    queue=queues.REPORTS,
    offered=False,
)
