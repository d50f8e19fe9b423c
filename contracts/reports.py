"""Reports: files of orders that are written in parts, and what is known of one."""

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from contracts.order_rows import RowFormat

ReportId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


def report_folder(report_id: str) -> str:
    """What the keys of everything that belongs to a report begin with, before a `/`."""
    return f"reports/{report_id}"


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
