"""/v1/admin/dead-letters and /v1/admin/audit: what failed for good, what operators do about it, and what they did."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.auth import Scope
from api.bodies import NoteBody, note_of
from api.dead_letter_bodies import MAX_AGE_S, DiscardAllBody, DiscardBody, FilterBody, RetryAllBody, Sought
from api.dead_letter_resource import AuditList, DeadLetterList, DealtWith, SweepResource
from api.dependencies import Acting, Caller, Letters
from api.errors import (
    CannotBeRetried,
    CountDiffers,
    InvalidCursor,
    MustBeResolved,
    NotADeadLetter,
    NotFound,
    UniqueKeyTaken,
)
from api.responses import answer
from api.routing import GuardedRoute, problems, requires

router = APIRouter(prefix="/v1/admin", tags=["operators"], route_class=GuardedRoute)

Cursor = Annotated[str, Field(max_length=512, description="`next_cursor` of the page before")]
LetterId = Annotated[
    str,
    Path(examples=["job_01K5X7M2N4R6W8Y0C3ZGVBHQ8S"], description="of what failed: `job_`, `ord_`, `mail_` or `whe_`"),
]


class ListQuery(FilterBody, frozen=True):
    """How to narrow and page the list."""

    # In a URL every number is a text.
    older_than_s: Annotated[float, Field(ge=0, le=MAX_AGE_S)] | None = None
    cursor: Cursor | None = None
    limit: int = Field(default=50, ge=1, le=100)


class AuditQuery(BaseModel, extra="forbid"):
    """How to narrow and page the audit log."""

    subject: Sought | None = Field(default=None, description="the id of what something was done to")
    actor: Sought | None = Field(default=None, description="the token subject of who did it")
    action: Sought | None = Field(default=None, description="such as `job.retry`")
    cursor: Cursor | None = None
    limit: int = Field(default=50, ge=1, le=100)


@router.get("/dead-letters", response_model=DeadLetterList, responses=problems(InvalidCursor))
@requires(Scope.OPERATOR)
async def list_dead_letters(query: Annotated[ListQuery, Query()], letters: Letters) -> Response:
    """List what failed for good or waits for an operator, latest first: jobs, orders, mails and webhook endpoints."""
    return answer(await letters.list(query.wanted, cursor=query.cursor, limit=query.limit))


@router.post(
    "/dead-letters/retry",
    response_model=SweepResource,
    responses=problems(CountDiffers),
)
@requires(Scope.OPERATOR)
async def retry_dead_letters(body: RetryAllBody, acting: Acting, letters: Letters) -> Response:
    """Preview what a filter fits, or retry it, oldest first; at most 200 at a time, in one transaction."""
    return answer(await letters.retry_all(body, acting.because(body.note)))


@router.post(
    "/dead-letters/discard",
    response_model=SweepResource,
    responses=problems(CountDiffers),
)
@requires(Scope.OPERATOR)
async def discard_dead_letters(body: DiscardAllBody, acting: Acting, letters: Letters) -> Response:
    """Preview what a filter fits, or discard it, oldest first; at most 200 at a time, in one transaction."""
    return answer(await letters.discard_all(body, acting.because(body.reason)))


@router.post(
    "/dead-letters/{letter_id}/retry",
    status_code=202,
    response_model=DealtWith,
    responses=problems(NotFound, NotADeadLetter, CannotBeRetried, UniqueKeyTaken),
)
@requires(Scope.OPERATOR)
async def retry_dead_letter(
    letter_id: LetterId, caller: Caller, acting: Acting, letters: Letters, body: NoteBody | None = None
) -> Response:
    """Have it tried again: a job from its first attempt, an order where it stopped, a mail or an endpoint once more."""
    return answer(await letters.retry(caller, letter_id, acting.because(note_of(body))), 202)


@router.post(
    "/dead-letters/{letter_id}/discard",
    response_model=DealtWith,
    responses=problems(NotFound, NotADeadLetter, MustBeResolved),
)
@requires(Scope.OPERATOR)
async def discard_dead_letter(letter_id: LetterId, body: DiscardBody, acting: Acting, letters: Letters) -> Response:
    """Have it listed no more; what failed can be read as before."""
    return answer(await letters.discard(letter_id, acting.because(body.reason)))


@router.get("/audit", response_model=AuditList, responses=problems(InvalidCursor))
@requires(Scope.OPERATOR)
async def list_audit_log(query: Annotated[AuditQuery, Query()], letters: Letters) -> Response:
    """List what operators did, newest first."""
    return answer(await letters.audit(**query.model_dump()))
