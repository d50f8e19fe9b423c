"""Lets the Temporal Web UI, and no other origin, read what the codec server answers (CORS, Fetch section 3.2)."""

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Problem
from api.problem_pages import answer_to

CODEC = "/codec/"
REMEMBERED_S = 600
PREFLIGHT = {
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, X-Namespace",
    "Access-Control-Max-Age": str(REMEMBERED_S),
}


class WebUiAccess:
    """Answers the Web UI's preflight requests, and marks the answers that it may read. Others get neither."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(CODEC):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("Origin", "")
        allowed = origin in self._origins

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                answered.add_vary_header("Origin")
                if allowed:
                    answered["Access-Control-Allow-Origin"] = origin
                    answered["Access-Control-Allow-Credentials"] = "true"
            await send(message)

        if allowed and scope["method"] == "OPTIONS" and "Access-Control-Request-Method" in headers:
            await Response(status_code=204, headers=PREFLIGHT)(scope, receive, send_marked)
            return
        try:
            await self._app(scope, receive, send_marked)
        except Problem as problem:
            # What is raised before a route is found would be answered further out, unreadable to the Web UI.
            await answer_to(problem, scope)(scope, receive, send_marked)
