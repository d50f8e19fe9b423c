"""Signing in to a part of the site, and out of it: a session for a token, and its end."""

from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from api.auth import Principal, TokenVerifier
from api.errors import Unauthenticated
from api.page_areas import Area
from api.page_routing import AnySession, Form, KeptSessions, PageRoute
from api.routing import open_to_all
from api.sessions import Session

log = structlog.get_logger()

NextPage = Annotated[str | None, Query(alias="next", max_length=500)]


def sign_in_routes(area: Area) -> APIRouter:
    """`/sign-in` and `/sign-out` of a part of the site."""
    router = APIRouter(prefix=area.home, route_class=PageRoute, include_in_schema=False)

    @router.get("/sign-in")
    @open_to_all()
    async def show_sign_in(
        request: Request, session: AnySession, sessions: KeptSessions, next_page: NextPage = None
    ) -> Response:
        """The form to paste a token into. A visitor gets a session of their own for it."""
        form_session = session or Session.of_visitor()
        answer = area.page("sign_in.html", form_session, next_page=_ours(area, next_page), refusal=None)
        if session is None:
            sessions.keep(form_session, request.headers, answer)
        return answer

    @router.post("/sign-in")
    @open_to_all()
    async def sign_in(request: Request, session: AnySession, sessions: KeptSessions, form: Form) -> Response:
        """Exchange a token for a session."""
        next_page = _ours(area, form.get("next"))
        verifier: TokenVerifier = request.app.state.verifier
        try:
            caller = _admitted(area, await verifier.verify_token(form.get("token", "")))
        except Unauthenticated as refusal:
            return area.page("sign_in.html", session, status=422, next_page=next_page, refusal=refusal.detail)
        answer = RedirectResponse(next_page, 303)
        # Not the visitor's: whoever may have known that one knows nothing of this.
        sessions.keep(Session.signed_in(caller), request.headers, answer)
        log.info("signed in", subject=caller.subject, area=area.home)
        return answer

    @router.post("/sign-out")
    @open_to_all()
    async def sign_out(request: Request, sessions: KeptSessions, form: Form) -> Response:
        """Have the browser forget the session."""
        answer = RedirectResponse(area.sign_in, 303)
        sessions.end(request.headers, answer)
        return answer

    return router


def _admitted(area: Area, caller: Principal) -> Principal:
    """Raises Unauthenticated for who has nothing to do here."""
    if area.wants is not None and not caller.may(area.wants):
        raise Unauthenticated(f"The token is not accepted: it has not the scope {area.wants}.")
    return caller


def _ours(area: Area, path: str | None) -> str:
    """The page to go on to: one of this part, or its first, since links can be made to say anything."""
    return path if path is not None and area.has(path) else area.home
