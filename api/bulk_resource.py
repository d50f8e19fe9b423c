"""Bulk actions as operators see them."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from api.dead_letter_resource import DeadLetterResource
from contracts.bulk import Bulk, BulkAction, BulkFailure, BulkOutcome, BulkProgress, NotDone
from contracts.dead_letters import DeadLetterCount, DeadLetterFilter
from contracts.orders import OrderStatus

SHOWN_NOT_DONE = 50

_ID = "blk_01K5X7M2N4R6W8Y0C3ZGVBHQ8S"
_URL = f"/v1/admin/bulk/{_ID}"
_AT = "2026-03-01T12:00:00Z"


class BulkPreview(BaseModel):
    """What a bulk action would be about: how many, and the first of them, oldest first."""

    model_config = ConfigDict(
        frozen=True, json_schema_extra={"examples": [{"matching": 0, "counts": [], "sample": []}]}
    )

    matching: int
    counts: tuple[DeadLetterCount, ...] = Field(description="by kind and reason")
    sample: tuple[DeadLetterResource, ...]


class BulkStatus(StrEnum):
    """Whether anything is left to be done; what failed leaves it, unless it is resumed."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


class BulkFailureResource(BaseModel, frozen=True):
    """Why a bulk action left what it did not do."""

    code: BulkFailure
    message: str


_FAILURES = {
    BulkFailure.PROCESS_TERMINATED: "Somebody terminated its process in Temporal.",
    BulkFailure.PROCESS_FAILED: "Its process failed; Temporal knows why.",
    BulkFailure.PROCESS_TIMED_OUT: "Its process was not done in its time.",
    BulkFailure.PROCESS_CANCELLED: "Its process was cancelled in Temporal.",
    BulkFailure.PROCESS_LOST: "Temporal knows of no process of it.",
}


class BulkLinks(BaseModel, frozen=True):
    """Where to go from here."""

    self: str
    cancel: str
    resume: str


class BulkResource(BaseModel):
    """A bulk action and how far it is."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "id": _ID,
                    "action": "retry",
                    "filter": {"kind": "order", "reason": "stuck_at_ship"},
                    "resolve_as": None,
                    "status": "running",
                    "actor": "olga",
                    "note": "the carrier is back",
                    "per_second": 5,
                    "total": 20,
                    "counts": {"pending": 14, "done": 5, "skipped": 1, "failed": 0, "cancelled": 0},
                    "not_done": [{"id": "ord_3ZGVBHQ8S1KX5M7T2N4R6W8Y0C", "outcome": "skipped", "code": "not_parked"}],
                    "created_at": _AT,
                    "finished_at": None,
                    "cancel_requested": False,
                    "failure": None,
                    "links": {"self": _URL, "cancel": f"{_URL}/cancel", "resume": f"{_URL}/resume"},
                }
            ]
        },
    )

    id: str
    action: BulkAction
    filter: dict[str, Any] = Field(description="as asked for")
    resolve_as: OrderStatus | None = None
    status: BulkStatus
    actor: str = Field(description="the token subject of who asked for it")
    note: str
    per_second: float
    total: int
    counts: dict[BulkOutcome, int] = Field(
        description="`skipped`: refused, with the code of the reason; `failed`: gave no answer, and may do it later"
    )
    not_done: tuple[NotDone, ...] = Field(description="the first 50 that were skipped or failed")
    created_at: datetime
    finished_at: datetime | None = None
    cancel_requested: bool
    failure: BulkFailureResource | None = Field(default=None, description="when it failed; it can be resumed")
    links: BulkLinks

    @classmethod
    def of(cls, bulk: Bulk, progress: BulkProgress) -> Self:
        url = f"/v1/admin/bulk/{bulk.id}"
        return cls(
            id=bulk.id,
            action=bulk.action,
            filter=_asked(bulk.filter),
            resolve_as=bulk.resolve_as,
            status=_status(bulk),
            actor=bulk.act.actor,
            note=bulk.act.note,
            per_second=bulk.per_second,
            total=bulk.total,
            counts={outcome: progress.counts.get(outcome, 0) for outcome in BulkOutcome},
            not_done=progress.not_done,
            created_at=bulk.created_at,
            finished_at=bulk.finished_at,
            cancel_requested=bulk.cancel_requested_at is not None,
            failure=bulk.failure and BulkFailureResource(code=bulk.failure, message=_FAILURES[bulk.failure]),
            links=BulkLinks(self=url, cancel=f"{url}/cancel", resume=f"{url}/resume"),
        )


def _status(bulk: Bulk) -> BulkStatus:
    if bulk.finished_at is None:
        return BulkStatus.RUNNING
    return BulkStatus.FINISHED if bulk.failure is None else BulkStatus.FAILED


def _asked(wanted: DeadLetterFilter) -> dict[str, Any]:
    return wanted.model_dump(mode="json", exclude_none=True)
