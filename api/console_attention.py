"""/console/attention: what is stuck, why, and how to mend it."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.sse import format_sse_event
from starlette.responses import Response

from api.attention_closing import close_item, known_item
from api.attention_feed import AttentionFeed, FollowingAttention, NeedsAttention
from api.attention_reading import needs_attention
from api.auth import Scope
from api.console_deeds import CLOSE_ITEM, ENDPOINT_DEEDS, JOB_DEEDS, MAIL_DEEDS, LetterDeed, Question
from api.console_ids import page_of
from api.console_page import page, rendered
from api.dead_letter_bodies import Sought
from api.dependencies import Acting, Attention, AttentionNews, Caller, ItemIdInPath, Letters
from api.errors import NotFound
from api.event_streams import EventStream
from api.metrics import ATTENTION_WATCHERS_DROPPED
from api.page_routing import Form, PageRoute, SignedIn
from api.page_streams import farewell
from api.routing import requires_session
from api.sessions import CONSOLE, Session
from contracts.attention import KeptItem
from contracts.audit import Act
from contracts.dead_letters import DeadLetterFilter, DeadLetterKind
from contracts.ids import is_endpoint_id, is_job_id, is_mail_id

PATH = f"{CONSOLE}/attention"

Cursor = Annotated[str | None, Query(max_length=512)]
Digest = Annotated[str | None, Query(max_length=64)]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=64)]

router = APIRouter(prefix=CONSOLE, route_class=PageRoute, include_in_schema=False)


@router.get("/attention")
@requires_session(Scope.OPERATOR)
async def show_attention(
    session: SignedIn,
    letters: Letters,
    attention: Attention,
    kind: DeadLetterKind | None = None,
    reason: Annotated[Sought | None, Query()] = None,
    letters_after: Cursor = None,
    items_after: Cursor = None,
) -> Response:
    """What failed for good or waits for an operator, and what else somebody has to look at. The first page is live."""
    wanted = DeadLetterFilter(kind=kind, reason=reason)
    found = await needs_attention(letters, attention, wanted, letters_after=letters_after, items_after=items_after)
    is_live = kind is None and reason is None and letters_after is None and items_after is None
    return page("attention.html", session, found=found, kind=kind, reason=reason, is_live=is_live)


@router.get("/attention/events")
@requires_session(Scope.OPERATOR)
async def follow_attention(
    session: SignedIn, feed: AttentionNews, shown: Digest = None, last_event_id: LastEventId = None
) -> Response:
    """The stream that the list follows, from the state that it shows."""
    return AttentionResponse(feed, session, last_event_id or shown)


@router.get("/dead-letters/{letter_id}/{deed}")
@requires_session(Scope.OPERATOR)
async def ask_about_letter(session: SignedIn, letter_id: str, deed: LetterDeed) -> Response:
    return _question(letter_id, deed).ask(session)


@router.post("/dead-letters/{letter_id}/{deed}")
@requires_session(Scope.OPERATOR)
async def treat_letter(
    session: SignedIn,
    letter_id: str,
    deed: LetterDeed,
    caller: Caller,
    letters: Letters,
    form: Form,
    acting: Acting,
) -> Response:
    async def do(act: Act) -> None:
        if deed is LetterDeed.RETRY:
            await letters.retry(caller, letter_id, act)
        else:
            await letters.discard(letter_id, act)

    return await _question(letter_id, deed).settle(session, form, acting, do)


@router.get("/attention/{item_id}/close")
@requires_session(Scope.OPERATOR)
async def ask_about_item(session: SignedIn, item_id: ItemIdInPath, attention: Attention) -> Response:
    return _question_about(await known_item(attention, item_id)).ask(session)


@router.post("/attention/{item_id}/close")
@requires_session(Scope.OPERATOR)
async def close_looked_at(
    session: SignedIn, item_id: ItemIdInPath, attention: Attention, acting: Acting, form: Form
) -> Response:
    async def do(act: Act) -> None:
        await close_item(attention, item_id, act)

    return await _question_about(await known_item(attention, item_id)).settle(session, form, acting, do)


class AttentionResponse(EventStream[FollowingAttention]):
    """Events named `attention` with the list as it then is; `expired` and `end` when the session is over."""

    def __init__(self, feed: AttentionFeed, session: Session, shown: str | None) -> None:
        super().__init__(feed.follow(shown), self._event, session.expires_at, ATTENTION_WATCHERS_DROPPED)
        self._session = session

    async def _events(self) -> AsyncIterator[bytes]:
        async for event in super()._events():
            yield event
        for event in farewell(self._session):
            yield event

    def _event(self, found: NeedsAttention) -> bytes:
        data = rendered("attention_event.html", self._session, found=found, kind=None, reason=None, is_live=True)
        return format_sse_event(event="attention", data_str=data, id=found.digest)


def _question(letter_id: str, deed: LetterDeed) -> Question:
    """Raises NotFound for what is the id of nothing that can be dealt with here; orders have deeds of their own."""
    kinds = ((is_job_id, JOB_DEEDS), (is_mail_id, MAIL_DEEDS), (is_endpoint_id, ENDPOINT_DEEDS))
    wordings = next((wordings for is_one, wordings in kinds if is_one(letter_id)), None)
    if wordings is None:
        raise NotFound
    action = f"{CONSOLE}/dead-letters/{letter_id}/{deed}"
    return Question(wordings[deed], letter_id, action=action, back=page_of(letter_id) or PATH)


def _question_about(item: KeptItem) -> Question:
    return Question(CLOSE_ITEM, item.detail, action=f"{PATH}/{item.id}/close", back=PATH)
