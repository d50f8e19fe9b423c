"""What operators send about bulk actions."""

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator

from api.bodies import Body, FinalStatus, hash_of
from api.dead_letter_bodies import FilterBody
from contracts.bulk import MAX_ITEMS, BulkAction
from contracts.dead_letters import DeadLetterFilter, DeadLetterKind
from contracts.text import Note

SLOWEST, FASTEST, USUAL = 0.1, 50.0, 5.0

_FILTER: dict[str, Any] = {"action": "retry", "filter": {"kind": "order", "reason": "stuck_at_ship"}}


class _Body(Body, frozen=True):
    """Which dead letters, and what is to be done to each."""

    action: BulkAction
    filter: FilterBody

    @model_validator(mode="after")
    def _resolves_orders_alone(self) -> Self:
        if self.action is BulkAction.RESOLVE and self.filter.kind not in (None, DeadLetterKind.ORDER):
            raise ValueError("resolve is for orders: leave filter.kind out, or make it order")
        return self

    @property
    def wanted(self) -> DeadLetterFilter:
        wanted = self.filter.wanted
        return wanted.model_copy(update={"kind": DeadLetterKind.ORDER}) if self.action is BulkAction.RESOLVE else wanted


class BulkPreviewBody(_Body):
    """Which, to see what there is."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_FILTER]})


class BulkBody(_Body):
    """Which, what is to be done to each, how many are meant, and how fast."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                _FILTER | {"expected": 20, "per_second": 5, "note": "the carrier is back"},
                {"action": "resolve", "filter": {"older_than_s": 86400}, "status": "cancelled", "limit": 100},
            ]
        },
    )

    status: FinalStatus | None = Field(default=None, description="what orders are resolved as")
    expected: Annotated[int, Field(strict=True, ge=0, le=MAX_ITEMS)] | None = Field(
        default=None, description="do nothing if it is another number"
    )
    limit: Annotated[int, Field(strict=True, ge=1, le=MAX_ITEMS)] | None = Field(
        default=None, description="this many at most, oldest first"
    )
    per_second: Annotated[float, Field(strict=True, ge=SLOWEST, le=FASTEST)] = Field(
        default=USUAL, description="how many are begun in a second, at most"
    )
    note: Note | None = Field(default=None, examples=["the carrier is back"])

    @model_validator(mode="after")
    def _says_what_it_means(self) -> Self:
        if (self.expected is None) == (self.limit is None):
            raise ValueError("give one of expected and limit")
        if (self.status is None) == (self.action is BulkAction.RESOLVE):
            raise ValueError("give a status when orders are resolved, and no other time")
        return self

    @property
    def request_hash(self) -> str:
        """SHA-256 of what the client asked for, whatever its spelling."""
        return hash_of(self)
