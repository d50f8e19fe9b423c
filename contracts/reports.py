"""Reports: files of orders that are written in parts, and what is known of one."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from contracts.order_rows import RowFormat

# Counted from the moment that a report is written, or given up.
KEPT_FOR = timedelta(days=7)

ReportId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


def report_folder(report_id: str) -> str:
    """What the keys of everything that belongs to a report begin with, before a `/`."""
    return f"reports/{report_id}"


class ReportType(StrEnum):
    ORDERS = "orders"


class OrdersReport(BaseModel, frozen=True):
    """The orders accepted from one moment until before another, newest first; of everybody without a `customer_id`."""

    id: ReportId
    customer_id: str | None
    accepted_from: AwareDatetime
    accepted_before: AwareDatetime
    format: RowFormat


class ReportPart(BaseModel, frozen=True):
    """A stored part; its size is in bytes. The next one begins behind the order it ends with."""

    key: str
    rows: int
    size: int
    sha256: str
    last_created_at: datetime
    last_id: str


class ReportProgress(BaseModel, frozen=True):
    """The parts that are stored, in their order."""

    parts: tuple[ReportPart, ...] = ()

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)


class WrittenReport(BaseModel, frozen=True):
    """A finished report: the file's key in the object store, and what is in it. It never changes."""

    report: OrdersReport
    key: str
    rows: int
    size: Annotated[int, Field(description="in bytes")]
    sha256: str


class ReportFile(BaseModel, frozen=True):
    """The file of a finished report; its size is in bytes."""

    key: str
    rows: int
    size: int
    sha256: str
    written_at: datetime
    expires_at: datetime


class Report(BaseModel, frozen=True):
    """A report as our books have it: what is to be in it, who asked for it, the job that writes it, and its file."""

    type: ReportType
    terms: OrdersReport
    subject: str
    job_id: str
    created_at: datetime
    file: ReportFile | None

    @property
    def id(self) -> str:
        return self.terms.id
