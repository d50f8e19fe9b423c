"""Batches: up to ten thousand jobs of one type, which are let go a window at a time."""

from datetime import datetime

from pydantic import BaseModel, NonNegativeInt, PositiveInt

from contracts.jobs import JobError, JobStatus

MAX_ITEMS = 10_000
# So many of a batch are with Temporal at most; the others wait in Postgres, where waiting costs nothing.
WINDOW = 100


class FollowBatch(BaseModel, frozen=True):
    """What starts the process of a batch, and what its next run goes on with: how long it last paused, in seconds."""

    batch_id: str
    pause_s: float = 0.0


class BatchTurn(BaseModel, frozen=True):
    """What a turn let go, how many are still held back, and how many have been let go and have not ended."""

    released: NonNegativeInt
    held: NonNegativeInt
    live: NonNegativeInt

    @property
    def is_over(self) -> bool:
        return not self.held and not self.live


class JobBatch(BaseModel, frozen=True):
    """A batch as our books have it; its jobs say how far it is."""

    id: str
    type: str
    subject: str
    queue: str
    priority: int
    total: PositiveInt
    created_at: datetime
    cancel_requested_at: datetime | None


class FailedItem(BaseModel, frozen=True):
    """A job of a batch that failed or timed out; `item` is its place in the request, from 0."""

    id: str
    item: NonNegativeInt
    status: JobStatus
    error: JobError | None


class BatchProgress(BaseModel, frozen=True):
    """How many jobs of a batch have which status, when the last one ended if all have, and the first that failed."""

    counts: dict[JobStatus, int]
    finished_at: datetime | None
    failed: tuple[FailedItem, ...]
