"""What clients send about jobs."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, field_validator, model_validator

from api.bodies import Body, NoteBody, hash_of
from api.instants import Instant
from contracts import queues
from contracts.job_batches import MAX_ITEMS
from contracts.job_types import OFFERED
from contracts.jobs import DEFAULT_PRIORITY, HIGHEST_PRIORITY, LOWEST_PRIORITY

MAX_DELAY_S = 366 * 24 * 60 * 60


def _within_a_year(at: datetime) -> datetime:
    if at > datetime.now(UTC) + timedelta(seconds=MAX_DELAY_S):
        raise ValueError("must be within a year")
    return at


DelayS = Annotated[float, Field(strict=True, ge=0, le=MAX_DELAY_S, examples=[7200])]
RunAt = Annotated[Instant, AfterValidator(_within_a_year), Field(examples=["2026-03-01T12:00:00Z"])]
Queue = Annotated[str, Field(json_schema_extra={"enum": [*queues.FOR_JOBS, queues.CPU]})]
# Visible ASCII, as an idempotency key.
UniqueKey = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")]


Type = Annotated[str, Field(max_length=100, examples=["diagnostics.echo"], json_schema_extra={"enum": sorted(OFFERED)})]


class JobBody(Body):
    """A job to be done, and when: at once, after `delay_s` seconds, or at `run_at`."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={"examples": [{"type": "diagnostics.echo", "arguments": {"message": "hello"}}]},
    )

    type: Type
    arguments: dict[str, Any] = Field(description="as `GET /v1/job-types` describes those of this type")
    delay_s: DelayS | None = None
    run_at: RunAt | None = None
    queue: Queue | None = Field(default=None, description="instead of the type's own")
    priority: Annotated[int, Field(strict=True, ge=HIGHEST_PRIORITY, le=LOWEST_PRIORITY)] = Field(
        default=DEFAULT_PRIORITY, description="1 goes first; within a priority callers take turns"
    )
    unique_key: UniqueKey | None = Field(
        default=None, description="while a job of this type lives under it, asking again gives that job"
    )

    @model_validator(mode="after")
    def _one_time(self) -> Self:
        if self.delay_s is not None and self.run_at is not None:
            raise ValueError("give delay_s or run_at, not both")
        return self

    @property
    def request_hash(self) -> str:
        """SHA-256 of what the client asked for, whatever its spelling."""
        return hash_of(self)


class JobBatchBody(Body):
    """Many jobs of one type, each with the arguments of an item."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [{"type": "diagnostics.echo", "items": [{"message": "one"}, {"message": "two"}]}]
        },
    )

    type: Type
    items: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_ITEMS)] = Field(
        description="the arguments of each job, as `GET /v1/job-types` describes those of this type"
    )
    queue: Queue | None = Field(default=None, description="instead of the type's own")
    priority: Annotated[int, Field(strict=True, ge=HIGHEST_PRIORITY, le=LOWEST_PRIORITY)] = Field(
        default=DEFAULT_PRIORITY, description="1 goes first; within a priority callers take turns"
    )

    @field_validator("items", mode="before")
    @classmethod
    def _not_too_many(cls, items: Any) -> Any:
        # Before each is looked at.
        if isinstance(items, list) and len(items) > MAX_ITEMS:
            raise ValueError(f"a batch has 1 to {MAX_ITEMS} items")
        return items

    @property
    def request_hash(self) -> str:
        """SHA-256 of what the client asked for, whatever its spelling."""
        return hash_of(self)


class RescheduleBody(NoteBody, frozen=True):
    """When a job is to begin instead: after `delay_s` seconds from now, or at `run_at`."""

    delay_s: DelayS | None = None
    run_at: RunAt | None = None

    @model_validator(mode="after")
    def _one_time(self) -> Self:
        if (self.delay_s is None) == (self.run_at is None):
            raise ValueError("give delay_s or run_at")
        return self
