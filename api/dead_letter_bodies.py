"""What operators send about dead letters."""

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from api.bodies import Body
from contracts.dead_letters import DeadLetterFilter, DeadLetterKind
from contracts.text import Note

# All that one request deals with is one transaction.
MAX_SWEPT = 200
MAX_AGE_S = 10 * 366 * 24 * 60 * 60

# Postgres keeps no NUL, and so finds none.
Sought = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00]+$")]
Reason = Annotated[Note, StringConstraints(min_length=1)]


class FilterBody(Body, frozen=True):
    """Which dead letters: all that fit every filter given, so an empty one means all there are."""

    kind: DeadLetterKind | None = None
    type: Sought | None = Field(default=None, description="of a job", examples=["diagnostics.echo"])
    reason: Sought | None = Field(default=None, description="the code", examples=["told_to_fail"])
    subject: Sought | None = Field(default=None, description="whose they are")
    older_than_s: Annotated[float, Field(strict=True, ge=0, le=MAX_AGE_S)] | None = None

    @property
    def wanted(self) -> DeadLetterFilter:
        return DeadLetterFilter(**self.model_dump(include=set(FilterBody.model_fields)))


class DiscardBody(Body, frozen=True):
    """Why nothing more is to be done about it."""

    reason: Reason = Field(examples=["the customer is gone"])


class _SweepBody(Body, frozen=True):
    """Either a preview, or an order that says how many it means: just `expected` ones, or `limit` at most."""

    filter: FilterBody
    preview: Annotated[bool, Field(strict=True)] = False
    expected: Annotated[int, Field(strict=True, ge=0, le=MAX_SWEPT)] | None = Field(
        default=None, description="do nothing if it is another number"
    )
    limit: Annotated[int, Field(strict=True, ge=1, le=MAX_SWEPT)] | None = Field(
        default=None, description="this many at most, oldest first"
    )

    @model_validator(mode="after")
    def _says_how_many(self) -> Self:
        if self.preview + (self.expected is not None) + (self.limit is not None) != 1:
            raise ValueError('give one of "preview": true, expected and limit')
        return self


_EXAMPLE: dict[str, Any] = {"filter": {"kind": "job", "reason": "told_to_fail"}}


class RetryAllBody(_SweepBody):
    """Which to retry, and how many."""

    model_config = ConfigDict(
        frozen=True, json_schema_extra={"examples": [_EXAMPLE | {"preview": True}, _EXAMPLE | {"expected": 12}]}
    )

    note: Note = ""


class DiscardAllBody(_SweepBody):
    """Which to discard, how many, and why."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [_EXAMPLE | {"preview": True}, _EXAMPLE | {"limit": 100, "reason": "an old test"}]
        },
    )

    reason: Reason | None = None

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if not self.preview and self.reason is None:
            raise ValueError("give a reason, unless it is a preview")
        return self
