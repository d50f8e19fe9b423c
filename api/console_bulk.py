"""/console/bulk: how far a bulk action is; api/console_all.py begins them."""

from fastapi import APIRouter
from starlette.responses import Response

from api.auth import Scope
from api.console_deeds import BULK_DEEDS, BulkDeed, Question
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
    return page("bulk.html", session, bulk=bulk, deeds=BULK_DEEDS, audit=audit)


@router.get("/{bulk_id}/{deed}")
@requires_session(Scope.OPERATOR)
async def ask_about_bulk(session: SignedIn, bulk_id: BulkIdInPath, deed: BulkDeed, bulks: Bulks) -> Response:
    await bulks.get(bulk_id)
    return _question(bulk_id, deed).ask(session)


@router.post("/{bulk_id}/{deed}")
@requires_session(Scope.OPERATOR)
async def treat_bulk(
    session: SignedIn, bulk_id: BulkIdInPath, deed: BulkDeed, acting: Acting, bulks: Bulks, form: Form
) -> Response:
    async def do(act: Act) -> None:
        match deed:
            case BulkDeed.CANCEL:
                await bulks.cancel(bulk_id, act)
            case BulkDeed.RESUME:
                await bulks.resume(bulk_id, act)

    return await _question(bulk_id, deed).settle(session, form, acting, do)


def _question(bulk_id: str, deed: BulkDeed) -> Question:
    where = f"{PATH}/{bulk_id}"
    return Question(BULK_DEEDS[deed], bulk_id, action=f"{where}/{deed}", back=where)
