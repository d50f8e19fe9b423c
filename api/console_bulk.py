"""/console/bulk: how far a bulk action is; api/console_all.py begins them."""

from fastapi import APIRouter
from starlette.responses import Response

from api.auth import Scope
from api.console_deeds import CANCEL_BULK, RESUME_BULK, Question, Wording
from api.console_page import page
from api.dependencies import Acting, BulkIdInPath, Bulks, Letters
from api.page_routing import Form, PageRoute, SignedIn
from api.routing import requires_session
from api.sessions import CONSOLE
from contracts.audit import Act

SHOWN = 25
PATH = f"{CONSOLE}/bulk"

router = APIRouter(prefix=PATH, route_class=PageRoute, include_in_schema=False)


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


def _question(wording: Wording, bulk_id: str, deed: str) -> Question:
    where = f"{PATH}/{bulk_id}"
    return Question(wording, bulk_id, action=f"{where}/{deed}", back=where)
