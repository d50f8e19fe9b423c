"""What an operator has done to many dead letters, at a rate; each has an entry in the audit log."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, NonNegativeInt, PositiveInt

from contracts.audit import Act
from contracts.dead_letters import DeadLetterFilter, DeadLetterKind
from contracts.orders import OrderStatus

MAX_ITEMS = 10_000


class BulkAction(StrEnum):
    """What is done to each: a retry to whatever is dead, a resolution to parked orders alone."""

    RETRY = "retry"
    RESOLVE = "resolve"


class BulkOutcome(StrEnum):
    """What became of one: `skipped` was refused, and its code says why; `failed` gave no answer."""

    PENDING = "pending"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    CANCELLED = "cancelled"


class BulkFailure(StrEnum):
    """Why nothing more is done, though something was left: how its process ended."""

    PROCESS_TERMINATED = "process_terminated"
    PROCESS_FAILED = "process_failed"
    PROCESS_TIMED_OUT = "process_timed_out"
    PROCESS_CANCELLED = "process_cancelled"
    PROCESS_LOST = "process_lost"


class FollowBulk(BaseModel, frozen=True):
    """What starts the process, and what its next run goes on with."""

    bulk_id: str
    per_second: float


class BulkTurn(BaseModel, frozen=True):
    """How many a turn tried, and how many are left."""

    tried: NonNegativeInt
    pending: NonNegativeInt


class NextOfBulk(BaseModel, frozen=True):
    """So many of those that are left."""

    bulk_id: str
    limit: PositiveInt


class Bulk(BaseModel, frozen=True):
    """What was asked for. `filter` found the items when it was accepted; what fails later is not among them."""

    id: str
    action: BulkAction
    filter: DeadLetterFilter
    resolve_as: OrderStatus | None
    per_second: float
    total: int
    act: Act
    created_at: datetime
    cancel_requested_at: datetime | None
    finished_at: datetime | None
    failure: BulkFailure | None


class BulkRun(BaseModel, frozen=True):
    """One process of a bulk action: the first, or that of so many times that it was resumed."""

    bulk_id: str
    resumes: NonNegativeInt = 0


class BulkItem(BaseModel, frozen=True):
    """One of those that the filter found; `subject` is the id of the thing."""

    bulk_id: str
    number: int
    subject: str
    kind: DeadLetterKind


class NotDone(BaseModel, frozen=True):
    """One that was not done, and why."""

    id: str
    outcome: BulkOutcome
    code: str | None


class BulkProgress(BaseModel, frozen=True):
    """How many have which outcome, and the first of those that were not done."""

    counts: dict[BulkOutcome, int]
    not_done: tuple[NotDone, ...]
