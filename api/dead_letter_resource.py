"""Dead letters, and what was done about them, as operators see them."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from contracts.audit import AuditEntry
from contracts.dead_letters import DeadLetter, DeadLetterCount, DeadLetterKind

_JOB = "job_01K5X7M2N4R6W8Y0C3ZGVBHQ8S"
_URL = f"/v1/admin/dead-letters/{_JOB}"
_SINCE = "2026-03-01T12:00:00Z"
_COUNT: dict[str, Any] = {"kind": "job", "reason": "told_to_fail", "count": 1, "oldest": _SINCE}
_URLS = {
    DeadLetterKind.JOB: "/v1/jobs",
    DeadLetterKind.ORDER: "/v1/orders",
    DeadLetterKind.WEBHOOK_ENDPOINT: "/v1/webhook-endpoints",
}


class DeadLetterLinks(BaseModel, frozen=True):
    """Where to go from here: to what failed, if it can be read, and to what can be done about it."""

    about: str | None
    retry: str
    discard: str | None = Field(description="an order is resolved instead")


class DeadLetterResource(BaseModel):
    """Something that failed for good, or waits for an operator."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "id": _JOB,
                    "kind": "job",
                    "reason": "told_to_fail",
                    "message": "attempt 5 fails, as told",
                    "since": _SINCE,
                    "attempts": 5,
                    "subject": "customer-1",
                    "links": {"about": f"/v1/jobs/{_JOB}", "retry": f"{_URL}/retry", "discard": f"{_URL}/discard"},
                }
            ]
        },
    )

    id: str = Field(description="of what failed")
    kind: DeadLetterKind
    reason: str = Field(description="a code")
    message: str = Field(description="the reason in words")
    since: datetime = Field(description="when it failed, or stopped")
    attempts: int = Field(description="of a job; an order's stops, a mail's refusals, an endpoint's failed deliveries")
    subject: str | None = Field(description="whose it is; null: the system's own")
    links: DeadLetterLinks

    @classmethod
    def of(cls, letter: DeadLetter) -> Self:
        url = f"/v1/admin/dead-letters/{letter.id}"
        about = f"{_URLS[letter.kind]}/{letter.id}" if letter.kind in _URLS else None
        discard = f"{url}/discard" if letter.kind is not DeadLetterKind.ORDER else None
        links = DeadLetterLinks(about=about, retry=f"{url}/retry", discard=discard)
        return cls(**letter.model_dump(), links=links)


class DeadLetterList(BaseModel, frozen=True):
    """A page of dead letters, latest first, and how many there are in all that fit the filters."""

    items: tuple[DeadLetterResource, ...]
    next_cursor: str | None
    total: int
    counts: tuple[DeadLetterCount, ...] = Field(description="by kind and reason", examples=[[_COUNT]])


class DealtWith(BaseModel, frozen=True):
    """What was retried or discarded."""

    id: str = Field(examples=[_JOB])
    kind: DeadLetterKind
    action: str = Field(examples=["retried"])
    about: str | None = Field(description="where it can be read", examples=[f"/v1/jobs/{_JOB}"])

    @classmethod
    def by(cls, action: str, letter_id: str, kind: DeadLetterKind) -> Self:
        about = f"{_URLS[kind]}/{letter_id}" if kind in _URLS else None
        return cls(id=letter_id, kind=kind, action=action, about=about)


class SkippedLetter(BaseModel, frozen=True):
    """One that was left as it was, and the code of the reason."""

    id: str
    code: str = Field(examples=["must_be_resolved"])


class SweepResource(BaseModel):
    """What a filter fits, and what became of it: nothing yet in a preview."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [{"preview": True, "matching": 1, "counts": [_COUNT], "done": 0, "skipped": []}]
        },
    )

    preview: bool
    matching: int
    counts: tuple[DeadLetterCount, ...] = Field(description="of what fits now, by kind and reason; of the rest, after")
    done: int = Field(description="retried or discarded, oldest first")
    skipped: tuple[SkippedLetter, ...]


class AuditList(BaseModel, frozen=True):
    """A page of the audit log, newest first."""

    items: tuple[AuditEntry, ...]
    next_cursor: str | None
