"""What clients send about reports."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator

from api.bodies import Body
from api.instants import Instant
from contracts.order_rows import RowFormat
from contracts.reports import ReportType

_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def _within_reason(at: datetime) -> datetime:
    if not _EARLIEST <= at < _LATEST:
        raise ValueError("must be from 1970 on, and before 9999")
    return at


Moment = Annotated[Instant, AfterValidator(_within_reason)]


class ReportBody(Body):
    """What is to be reported: the orders accepted from one moment until before another."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {"type": "orders", "from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z", "format": "csv"}
            ]
        },
    )

    type: ReportType
    accepted_from: Moment = Field(alias="from", examples=["2026-03-01T00:00:00Z"])
    accepted_before: Moment = Field(alias="to", examples=["2026-04-01T00:00:00Z"])
    format: RowFormat

    @field_validator("accepted_before")
    @classmethod
    def _ends_later(cls, accepted_before: datetime, info: ValidationInfo) -> datetime:
        accepted_from = info.data.get("accepted_from")
        if accepted_from is not None and accepted_before <= accepted_from:
            raise ValueError("must be later than from")
        return accepted_before
