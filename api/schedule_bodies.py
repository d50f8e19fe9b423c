"""What operators send about schedules."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pydantic import ConfigDict, Field, ValidationInfo, field_validator
from temporalio.client import ScheduleOverlapPolicy

from api.bodies import NoteBody
from api.instants import Instant

MAX_BACKFILL = timedelta(days=31)
MAX_BACKFILLED_RUNS = 500
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


class Overlap(StrEnum):
    """What becomes of a run that is due while another one runs: left out, kept for later (one, or all), or begun."""

    SKIP = "skip"
    BUFFER_ONE = "buffer_one"
    BUFFER_ALL = "buffer_all"
    ALLOW_ALL = "allow_all"

    @property
    def policy(self) -> ScheduleOverlapPolicy:
        return ScheduleOverlapPolicy[self.name]


class BackfillBody(NoteBody):
    """Have the runs done that were due from one moment until before another, both in the past."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={"examples": [{"from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"}]},
    )

    since: Instant = Field(alias="from")
    until: Instant = Field(alias="to")
    overlap: Overlap = Overlap.BUFFER_ALL

    @field_validator("since")
    @classmethod
    def _is_of_our_time(cls, since: datetime) -> datetime:
        if since < EARLIEST:
            raise ValueError(f"must not be before {EARLIEST.year}")
        return since

    @field_validator("until")
    @classmethod
    def _is_bounded(cls, until: datetime, others: ValidationInfo) -> datetime:
        since = others.data.get("since")
        if since is not None and not since < until:
            raise ValueError("must be after from")
        if since is not None and until - since > MAX_BACKFILL:
            raise ValueError(f"must be at most {MAX_BACKFILL.days} days after from")
        if until > datetime.now(UTC):
            raise ValueError("must not be in the future")
        return until
