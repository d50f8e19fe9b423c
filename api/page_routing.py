"""Routes of pages: what a form sends is believed only from a page of ours, within the session that it was made for."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from api.auth import Principal, Scope
from api.errors import InvalidRequest, Unauthenticated, UnsupportedMediaType
from api.routing import GuardedRoute
from api.sessions import Session, Sessions, check_origin

FORM = "application/x-www-form-urlencoded"
CSRF_FIELD = "csrf"


class PageRoute(GuardedRoute):
    """Hands an endpoint no form that another site could have sent."""

    def _look_at(self, request: Request, body: bytes) -> None:
        check_origin(request.headers)
        session: Session | None = request.state.session
        if session is None:
            raise Unauthenticated("Sign in first.")
        form = _form_of(request, body)
        session.check_form(form.get(CSRF_FIELD))
        request.state.form = form


def _form_of(request: Request, body: bytes) -> dict[str, str]:
    """What was typed, by the fields' names; the last one counts of those with the same."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise UnsupportedMediaType("A page sends its forms URL-encoded.")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
    except ValueError:
        raise InvalidRequest("The form is not written in UTF-8.") from None


async def _form(request: Request) -> Mapping[str, str]:
    form: Mapping[str, str] = request.state.form
    return form


async def _session(request: Request) -> Session | None:
    session: Session | None = request.state.session
    return session


async def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions


async def _signed_in(request: Request) -> Session:
    """What `requires_session` has let in."""
    session: Session = request.state.session
    return session


async def _customer(request: Request) -> Principal:
    """Who has signed in, as a customer: in the shop, operators too have only orders of their own."""
    principal: Principal = request.state.principal
    return replace(principal, scopes=principal.scopes - {Scope.OPERATOR})


Form = Annotated[Mapping[str, str], Depends(_form)]
AnySession = Annotated[Session | None, Depends(_session)]
SignedIn = Annotated[Session, Depends(_signed_in)]
KeptSessions = Annotated[Sessions, Depends(_sessions)]
Customer = Annotated[Principal, Depends(_customer)]
