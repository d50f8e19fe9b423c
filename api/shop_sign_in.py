"""/shop/sign-in and /shop/sign-out: a session for a token, and its end."""

from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from api.auth import TokenVerifier
from api.errors import Unauthenticated
from api.page_routing import AnySession, Form, KeptSessions, PageRoute
from api.problem_pages import SIGN_IN
from api.routing import open_to_all
from api.sessions import PAGES, Session, is_page
from api.shop_page import page

router = APIRouter(prefix=PAGES, route_class=PageRoute, include_in_schema=False)

log = structlog.get_logger()

NextPage = Annotated[str, Query(alias="next", max_length=500)]


@router.get("/sign-in")
@open_to_all()
async def show_sign_in(
    request: Request, session: AnySession, sessions: KeptSessions, next_page: NextPage = PAGES
) -> Response:
    """The form to paste a token into. A visitor gets a session of their own for it."""
    form_session = session or Session.of_visitor()
    answer = page("sign_in.html", form_session, next_page=_ours(next_page), refusal=None)
    if session is None:
        sessions.keep(form_session, request.headers, answer)
    return answer


@router.post("/sign-in")
@open_to_all()
async def sign_in(request: Request, session: AnySession, sessions: KeptSessions, form: Form) -> Response:
    """Exchange a token for a session."""
    next_page = _ours(form.get("next", PAGES))
    verifier: TokenVerifier = request.app.state.verifier
    try:
        caller = await verifier.verify_token(form.get("token", ""))
    except Unauthenticated as refusal:
        return page("sign_in.html", session, status=422, next_page=next_page, refusal=refusal.detail)
    answer = RedirectResponse(next_page, 303)
    # Not the visitor's: whoever may have known that one knows nothing of this.
    sessions.keep(Session.signed_in(caller), request.headers, answer)
    log.info("signed in", subject=caller.subject)
    return answer


@router.post("/sign-out")
@open_to_all()
async def sign_out(request: Request, sessions: KeptSessions, form: Form) -> Response:
    """Have the browser forget the session."""
    answer = RedirectResponse(SIGN_IN, 303)
    sessions.end(request.headers, answer)
    return answer


def _ours(path: str) -> str:
    """The page to go on to: one of ours, or the first, since links can be made to say anything."""
    return path if is_page(path) else PAGES
