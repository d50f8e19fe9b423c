"""Before anything of a request is looked at: who calls, and whether they call too often.

/v1 and the codec server want a token. A few paths of /v1 are open: who signs up has no token yet, and who calls
`/v1/inbound` signs the body instead. Pages have sessions, and say themselves whether they want one.
"""

import math
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.auth import Principal, TokenVerifier
from api.errors import Problem, RateLimited
from api.limits import RateLimiter, address_key
from api.middleware.web_ui import CODEC
from api.sessions import Session, Sessions, is_page

GUARDED = "/v1"
SIGN_UP = ("POST", "/v1/accounts")
OPEN = (SIGN_UP, ("POST", "/v1/accounts/confirm"))
OPEN_BELOW = "/v1/inbound/"


def is_open(method: str, path: str) -> bool:
    """Whether this needs no token."""
    if path.startswith(CODEC):
        return False
    if path.startswith(OPEN_BELOW) or (method, path) in OPEN:
        return True
    return path != GUARDED and not path.startswith(f"{GUARDED}/")


class Gate:
    """Lets only callers with a valid token into /v1, known path or not; the route says which scope it wants."""

    def __init__(
        self,
        app: ASGIApp,
        verifier: TokenVerifier,
        sessions: Sessions,
        limiter: RateLimiter,
        sign_ups: RateLimiter,
        web_ui_origins: Collection[str] = (),
    ) -> None:
        self._app = app
        self._verifier = verifier
        self._sessions = sessions
        self._limiter = limiter
        self._sign_ups = sign_ups
        self._web_ui_origins = frozenset(web_ui_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            principal: Principal | None = None
            session: Session | None = None
            refusal: Problem | None = None
            if is_page(scope["path"]):
                session = self._sessions.read(Headers(scope=scope))
                principal = session.principal if session else None
            elif not is_open(scope.get("method", ""), scope["path"]):
                try:
                    principal = await self._caller(scope["path"], Headers(scope=scope))
                except Problem as problem:
                    refusal = problem
            self._limit(scope, principal)
            if refusal is not None:
                raise refusal
            scope["state"]["principal"] = principal
            scope["state"]["session"] = session
        await self._app(scope, receive, send)

    async def _caller(self, path: str, headers: Headers) -> Principal:
        """Raises Unauthenticated, or TemporarilyUnavailable when there are no keys to judge tokens with.

        The Web UI may have no token to pass on: then the session counts that its user has with us in that browser,
        which tells by itself that it is the Web UI who asks.
        """
        if path.startswith(CODEC) and "Authorization" not in headers and headers.get("Origin") in self._web_ui_origins:
            session = self._sessions.read(headers)
            if session is not None and session.principal is not None:
                return session.principal
        return await self._verifier.verify(headers.get("Authorization"))

    def _limit(self, scope: Scope, principal: Principal | None) -> None:
        client = scope.get("client")
        key = f"subject:{principal.subject}" if principal else address_key(client[0] if client else None)
        limiter = self._sign_ups if (scope.get("method"), scope["path"]) == SIGN_UP else self._limiter
        wait_s = limiter.take(key)
        if wait_s is not None:
            raise RateLimited(f"Wait {wait_s:.2f} s.", headers={"Retry-After": str(math.ceil(wait_s))})
