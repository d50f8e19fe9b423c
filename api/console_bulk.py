"""/console/bulk: many dead letters retried at once, after a look at what they are."""

from collections.abc import Mapping
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Query
from starlette.responses import RedirectResponse, Response

from api.auth import Scope
from api.bulk_bodies import BulkBody, BulkPreviewBody
from api.bulk_keeping import BulkKeeper
from api.console_deeds import CANCEL_BULK, MAX_NOTE, RESUME_BULK, Question, Wording, note_in
from api.console_page import page
from api.dead_letter_bodies import FilterBody, Sought
from api.dependencies import KEY, Acting, BulkIdInPath, Bulks, Letters
from api.errors import CountDiffers, IdempotencyKeyReused, InvalidRequest, Problem
from api.page_routing import Form, PageRoute, SignedIn
from api.routing import requires_session
from api.sessions import CONSOLE, Session
from contracts.audit import Act
from contracts.bulk import MAX_ITEMS, BulkAction
from contracts.dead_letters import DeadLetterKind

SHOWN = 25
# Longer numbers are not worth reading.
MAX_DIGITS = 9
PATH = f"{CONSOLE}/bulk"

router = APIRouter(prefix=PATH, route_class=PageRoute, include_in_schema=False)


@router.get("/retry")
@requires_session(Scope.OPERATOR)
async def ask_about_all(
    session: SignedIn,
    bulks: Bulks,
    kind: DeadLetterKind | None = None,
    reason: Annotated[Sought | None, Query()] = None,
) -> Response:
    """How many fit, why they failed, and the first of them; and the form that has all of them retried."""
    return await _preview(session, bulks, FilterBody(kind=kind, reason=reason), key=f"console-{uuid4().hex}")


@router.post("/retry")
@requires_session(Scope.OPERATOR)
async def retry_all(session: SignedIn, bulks: Bulks, acting: Acting, form: Form) -> Response:
    """Have those retried that the preview showed, or say that there are more or fewer by now."""
    note, wrong = note_in(form)
    body, key = _asked_for(form, note), form["key"]
    wanted = body.filter
    if wrong is not None:
        return await _preview(session, bulks, wanted, key=key, typed=form, error=wrong, status=422)
    try:
        bulk, _ = await bulks.accept(key, body, acting.because(note))
    except (CountDiffers, IdempotencyKeyReused) as refusal:
        fresh = f"console-{uuid4().hex}"
        return await _preview(session, bulks, wanted, key=fresh, typed=form, refusal=refusal, status=refusal.status)
    return RedirectResponse(f"{PATH}/{bulk.id}", 303)


@router.get("/{bulk_id}")
@requires_session(Scope.OPERATOR)
async def show_bulk(session: SignedIn, bulk_id: BulkIdInPath, bulks: Bulks, letters: Letters) -> Response:
    """How far a bulk action is, and what of it was not done."""
    bulk = await bulks.get(bulk_id)
    audit = await letters.audit(subject=bulk_id, actor=None, action=None, cursor=None, limit=SHOWN)
    return page("bulk.html", session, bulk=bulk, cancel=CANCEL_BULK, resume=RESUME_BULK, audit=audit)


@router.get("/{bulk_id}/cancel")
@requires_session(Scope.OPERATOR)
async def ask_to_cancel_bulk(session: SignedIn, bulk_id: BulkIdInPath, bulks: Bulks) -> Response:
    await bulks.get(bulk_id)
    return _question(CANCEL_BULK, bulk_id, "cancel").ask(session)


@router.post("/{bulk_id}/cancel")
@requires_session(Scope.OPERATOR)
async def cancel_bulk(session: SignedIn, bulk_id: BulkIdInPath, acting: Acting, bulks: Bulks, form: Form) -> Response:
    async def do(act: Act) -> None:
        await bulks.cancel(bulk_id, act)

    return await _question(CANCEL_BULK, bulk_id, "cancel").settle(session, form, acting, do)


@router.get("/{bulk_id}/resume")
@requires_session(Scope.OPERATOR)
async def ask_to_resume_bulk(session: SignedIn, bulk_id: BulkIdInPath, bulks: Bulks) -> Response:
    await bulks.get(bulk_id)
    return _question(RESUME_BULK, bulk_id, "resume").ask(session)


@router.post("/{bulk_id}/resume")
@requires_session(Scope.OPERATOR)
async def resume_bulk(session: SignedIn, bulk_id: BulkIdInPath, acting: Acting, bulks: Bulks, form: Form) -> Response:
    async def do(act: Act) -> None:
        await bulks.resume(bulk_id, act)

    return await _question(RESUME_BULK, bulk_id, "resume").settle(session, form, acting, do)


def _asked_for(form: Mapping[str, str], note: str) -> BulkBody:
    """What the preview's form says. Raises InvalidRequest for what no preview of ours has sent."""
    wanted = {name: form[name] for name in ("kind", "reason") if form.get(name)}
    expected = form.get("expected", "")
    try:
        if not KEY.fullmatch(form.get("key", "")) or len(expected) > MAX_DIGITS:
            raise ValueError
        return BulkBody.model_validate(
            {"action": BulkAction.RETRY, "filter": wanted, "expected": int(expected), "note": note}
        )
    except ValueError:
        raise InvalidRequest("Open the preview again, and confirm it there.") from None


async def _preview(
    session: Session,
    bulks: BulkKeeper,
    wanted: FilterBody,
    *,
    key: str,
    typed: Mapping[str, str] | None = None,
    error: str | None = None,
    refusal: Problem | None = None,
    status: int = 200,
) -> Response:
    preview = await bulks.preview(BulkPreviewBody(action=BulkAction.RETRY, filter=wanted))
    return page(
        "bulk_preview.html",
        session,
        status=status,
        preview=preview,
        wanted=wanted,
        key=key,
        typed=typed or {},
        error=error,
        refusal=refusal,
        max_note=MAX_NOTE,
        max_items=MAX_ITEMS,
    )


def _question(wording: Wording, bulk_id: str, deed: str) -> Question:
    where = f"{PATH}/{bulk_id}"
    return Question(wording, bulk_id, action=f"{where}/{deed}", back=where)
