"""Around every request: its id, the headers of every response, its line in the log, and an answer to any error."""

import re
import time
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import InternalError, NotFound, TemporarilyUnavailable, problem_of
from api.leaving import Leaving
from api.metrics import REQUESTS
from api.problem_pages import answer_to
from api.sessions import is_page

REQUEST_ID = "X-Request-Id"
SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
STRICT_POLICY = "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
# Swagger UI comes from FastAPI's default addresses and starts itself with an inline script.
DOCS_POLICY = (
    "default-src 'none'; script-src https://cdn.jsdelivr.net 'unsafe-inline'; "
    "style-src https://cdn.jsdelivr.net 'unsafe-inline'; img-src data: https://fastapi.tiangolo.com; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
DOCS_PATH = "/docs"
# Whatever a page loads, sends or connects to is ours, and none of it stands within the page.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# The answer to a WebSocket's handshake is one, too.
ANSWERS = ("http.response.start", "websocket.http.response.start", "websocket.accept")
PROBES = ("/livez", "/readyz")
# What nginx writes down for a client that left before it had an answer.
CLIENT_LEFT = 499
SWITCHING_PROTOCOLS = 101
# Those of RFC 9110 and RFC 5789, and ours for a WebSocket's handshake. Whoever makes up others adds no time series.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "WEBSOCKET"})

log = structlog.get_logger()


class RequestMiddleware:
    """The outermost layer of ours, so that nothing leaves without its headers and its line in the log."""

    def __init__(self, app: ASGIApp, *, leaving: Leaving) -> None:
        self._app = app
        self._leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        asked = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = asked if SANE_REQUEST_ID.fullmatch(asked) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = None
        took_s = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status, took_s
            if message["type"] == "websocket.close" and status is None:
                raise NotFound  # how Starlette says that it has no such route
            if message["type"] in ANSWERS:
                status = message.get("status", SWITCHING_PROTOCOLS)
                took_s = time.perf_counter() - began
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
                # With no referrer at all, browsers would not say either where a form comes from.
                headers["Referrer-Policy"] = "same-origin" if is_page(scope["path"]) else "no-referrer"
                headers.setdefault("Cache-Control", "no-store")
                headers["Content-Security-Policy"] = _policy(scope["path"])
                if self._leaving.is_told and scope["type"] == "http":
                    # The next request on this connection would find nobody.
                    headers["Connection"] = "close"
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            status = CLIENT_LEFT
        except Exception as error:
            problem = problem_of(error)
            if isinstance(problem, InternalError):
                log.exception("unexpected error")
            elif isinstance(problem, TemporarilyUnavailable):
                log.warning("unavailable", cause=repr(error.__cause__ or error))
            if status is not None:
                raise  # half an answer is out; all that is left is to break the connection
            await answer_to(problem, scope)(scope, receive, send_with_headers)
        finally:
            lasted_s = time.perf_counter() - began
            self._record(scope, status or 500, lasted_s if took_s is None else took_s, lasted_s)

    def _record(self, scope: Scope, status: int, took_s: float, lasted_s: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "unknown"
        method = scope.get("method", "WEBSOCKET")
        counted_as = method if method in METHODS else "other"
        REQUESTS.labels(counted_as if route != "unknown" else "any", route, str(status)).observe(took_s)
        if route in PROBES and status == 200:
            return
        principal = scope["state"].get("principal")
        log.info(
            "request",
            method=method,
            route=route,
            status=status,
            duration_ms=round(lasted_s * 1_000, 1),
            subject=principal.subject if principal else None,
        )


def _policy(path: str) -> str:
    if path == DOCS_PATH:
        return DOCS_POLICY
    return PAGE_POLICY if is_page(path) else STRICT_POLICY
