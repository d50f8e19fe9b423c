"""Dead letters: what failed for good, or waits for an operator, whatever kind of thing it is."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, NonNegativeInt


class DeadLetterKind(StrEnum):
    """A job that failed or timed out, a parked order, a mail that bounced, or a disabled webhook endpoint."""

    JOB = "job"
    ORDER = "order"
    MAIL = "mail"
    WEBHOOK_ENDPOINT = "webhook_endpoint"


class DeadLetter(BaseModel, frozen=True):
    """Something that failed. Its id is that of the thing; `reason` is a code, `message` says it in words."""

    id: str
    kind: DeadLetterKind
    reason: str
    message: str
    since: datetime
    attempts: NonNegativeInt
    subject: str | None


class DeadLetterFilter(BaseModel, frozen=True):
    """Which dead letters; None leaves a filter out. `type` is a job's; `older_than_s` is in seconds."""

    kind: DeadLetterKind | None = None
    type: str | None = None
    reason: str | None = None
    subject: str | None = None
    older_than_s: float | None = None


class DeadLetterCount(BaseModel, frozen=True):
    """How many there are of a kind for one reason, and since when."""

    kind: DeadLetterKind
    reason: str
    count: int
    oldest: datetime
