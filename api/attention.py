"""/v1/admin/attention: what somebody has to look at."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.attention_closing import close_item
from api.auth import Scope
from api.bodies import NoteBody, note_of
from api.cursors import next_cursor, position_of
from api.dependencies import Acting, Attention, ItemIdInPath
from api.errors import InvalidCursor, NotFound
from api.outages import asking_postgres
from api.responses import answer
from api.routing import GuardedRoute, problems, requires
from contracts.attention import AttentionKind, KeptItem
from database.paging import Position

router = APIRouter(prefix="/v1/admin/attention", tags=["operators"], route_class=GuardedRoute)


class AttentionQuery(BaseModel, extra="forbid"):
    """How to narrow and page the list."""

    kind: AttentionKind | None = Field(default=None, description="only items of this kind")
    cursor: str | None = Field(default=None, max_length=512, description="`next_cursor` of the page before")
    limit: int = Field(default=50, ge=1, le=100)


class AttentionList(BaseModel, frozen=True):
    """A page of open items, the ones opened last first."""

    items: tuple[KeptItem, ...]
    next_cursor: str | None


@router.get("", response_model=AttentionList, responses=problems(InvalidCursor))
@requires(Scope.OPERATOR)
async def list_attention(query: Annotated[AttentionQuery, Query()], attention: Attention) -> Response:
    """List what is open; docs/schedules.md says which kinds close by themselves."""
    after = position_of(query.cursor)
    async with asking_postgres():
        found = await attention.list_open(kind=query.kind, after=after, limit=query.limit + 1)
    return answer(
        AttentionList(
            items=tuple(found[: query.limit]),
            next_cursor=next_cursor(found, query.limit, lambda item: Position(item.opened_at, item.id)),
        )
    )


@router.post("/{item_id}/close", response_model=KeptItem, responses=problems(NotFound))
@requires(Scope.OPERATOR)
async def close_attention_item(
    item_id: ItemIdInPath, acting: Acting, attention: Attention, body: NoteBody | None = None
) -> Response:
    """Close what was looked at; closing what is closed changes nothing. It opens again when it has changed."""
    return answer(await close_item(attention, item_id, acting.because(note_of(body))))
