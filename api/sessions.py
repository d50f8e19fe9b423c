"""Sessions of the pages that people look at: a short-lived signed cookie, made from a token that is pasted once.

Who has not signed in has a session too, so that the sign-in form is as safe from forgery as any other. docs/shop.md
says how this keeps other sites from acting in somebody's name.
"""

import hmac
import ipaddress
import secrets
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response

from api.auth import Principal, Scope
from api.errors import Forbidden

# Where sessions count: the shop, the operators' console, and the codec server (api/middleware/gate.py). Nothing in /v1
# looks at one: no form of another site can reach it.
PAGES = "/shop"
CONSOLE = "/console"
MAX_AGE_S = 3_600
ALGORITHM = "HS256"
COOKIE = "session"
# Browsers take a cookie of this name only with Secure, for the whole host, and from the host itself (RFC 6265bis).
SECURE_COOKIE = f"__Host-{COOKIE}"
# A proxy may put its own name for us into Host.
OF_PROXIES = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto")
# The second one is what a browser says of a page that its user asked it to load again.
OWN_REQUESTS = ("same-origin", "none")


@dataclass(frozen=True)
class Session:
    """Who looks at a page: somebody signed in, or a visitor (no principal). `expires_at` is in seconds since the epoch.

    Every form carries `csrf`, which no other site can know.
    """

    principal: Principal | None
    expires_at: int
    csrf: str

    @classmethod
    def of_visitor(cls) -> "Session":
        return cls(None, _now() + MAX_AGE_S, secrets.token_urlsafe(24))

    @classmethod
    def signed_in(cls, caller: Principal) -> "Session":
        """A fresh session that does not outlive its token. Scopes that are not ours are left out."""
        expires_at = int(min(caller.expires_at, _now() + MAX_AGE_S))
        known = frozenset(scope.value for scope in Scope) & caller.scopes
        return cls(Principal(caller.subject, known, expires_at), expires_at, secrets.token_urlsafe(24))

    @property
    def lasts_s(self) -> int:
        return max(0, self.expires_at - _now())

    def check_form(self, csrf: str | None) -> None:
        """Raises Forbidden for a form that this session was not given."""
        if csrf is None or not hmac.compare_digest(csrf.encode(), self.csrf.encode()):
            raise Forbidden("This form is not of your session, or no longer. Open the page again and repeat it there.")


class Sessions:
    """Reads and writes session cookies."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def read(self, headers: Headers) -> Session | None:
        """The session of a request; None without a cookie that we signed and that still holds."""
        cookie = cookie_parser(headers.get("Cookie", "")).get(_cookie_name(headers))
        if cookie is None:
            return None
        try:
            claims = jwt.decode(cookie, self._secret, algorithms=[ALGORITHM], options={"require": ["exp", "csrf"]})
        except jwt.PyJWTError:
            return None
        subject = claims.get("sub")
        expires_at: int = claims["exp"]
        principal = None if subject is None else Principal(subject, frozenset(claims["scope"].split()), expires_at)
        return Session(principal, expires_at, claims["csrf"])

    def keep(self, session: Session, headers: Headers, response: Response) -> None:
        """Have the browser that sent these headers keep a session."""
        claims: dict[str, Any] = {"exp": session.expires_at, "csrf": session.csrf}
        if session.principal is not None:
            claims |= {"sub": session.principal.subject, "scope": " ".join(sorted(session.principal.scopes))}
        signed = jwt.encode(claims, self._secret, algorithm=ALGORITHM)
        self._set(headers, response, signed, session.lasts_s)

    def end(self, headers: Headers, response: Response) -> None:
        """Have the browser forget its session."""
        self._set(headers, response, "", 0)

    def _set(self, headers: Headers, response: Response, value: str, max_age_s: int) -> None:
        name = _cookie_name(headers)
        response.set_cookie(
            name, value, max_age=max_age_s, path="/", secure=name == SECURE_COOKIE, httponly=True, samesite="lax"
        )


def is_page(path: str) -> bool:
    """Whether people look at what is behind this path, in a browser."""
    return is_within(PAGES, path) or is_within(CONSOLE, path)


def is_within(area: str, path: str) -> bool:
    return path == area or path.startswith(f"{area}/")


def check_origin(headers: Headers) -> None:
    """Raises Forbidden unless the browser says that a page of ours sent this (Fetch Metadata, or else Origin)."""
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        ours = site in OWN_REQUESTS
    else:
        _, _, origin_host = headers.get("Origin", "").partition("://")
        ours = bool(origin_host) and origin_host == headers.get("Host")
    if not ours:
        raise Forbidden("This was not sent by a page of this site.")


def _cookie_name(headers: Headers) -> str:
    return COOKIE if _is_on_this_machine(headers) else SECURE_COOKIE


def _is_on_this_machine(headers: Headers) -> bool:
    """Whether the browser calls this very machine, where nobody listens in and there may be no TLS."""
    if any(name in headers for name in OF_PROXIES):
        return False
    try:
        name = urlsplit(f"//{headers.get('Host', '')}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _now() -> int:
    return int(time.time())
