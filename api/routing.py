"""Routes that say who may call them, and ask that before they look at anything else of a request."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Message

from api.auth import REALM, Principal, Scope
from api.errors import (
    PROBLEM_JSON,
    Forbidden,
    InternalError,
    InvalidJson,
    InvalidRequest,
    Problem,
    RateLimited,
    RequestTooLarge,
    TemporarilyUnavailable,
    Unauthenticated,
    UnsupportedMediaType,
)

MAX_BODY_BYTES = 256 * 1024
BEARER = "bearer"
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True)
class Access:
    """Who may call an endpoint: everybody, every valid token or session, or one with any of these scopes."""

    token: bool
    any_of: tuple[Scope, ...] = ()
    session: bool = False


def requires(*any_of: Scope) -> Callable[[Endpoint], Endpoint]:
    """Declare that an endpoint wants a token with one of these scopes."""
    return _declare(Access(token=True, any_of=any_of))


def requires_token() -> Callable[[Endpoint], Endpoint]:
    """Declare that any valid token will do."""
    return _declare(Access(token=True))


def requires_session(*any_of: Scope) -> Callable[[Endpoint], Endpoint]:
    """Declare that a page is for who has signed in, with one of these scopes."""
    return _declare(Access(token=False, any_of=any_of, session=True))


def open_to_all() -> Callable[[Endpoint], Endpoint]:
    """Declare that an endpoint wants no token. Within /v1 the gate has to know of it, too."""
    return _declare(Access(token=False))


def _declare(access: Access) -> Callable[[Endpoint], Endpoint]:
    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.access = access  # type: ignore[attr-defined]
        return endpoint

    return mark


class GuardedRoute(APIRoute):
    """Checks in this order: scope, size and media type of the body, and only then what FastAPI checks.

    FastAPI would parse the body before any dependency runs. An endpoint that does not say who may call it cannot
    become a route.
    """

    max_body_bytes = MAX_BODY_BYTES

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.access = _declared(path, endpoint)
        if self.access.token:
            alternatives = [{BEARER: [scope]} for scope in self.access.any_of] or [{BEARER: []}]
            options["openapi_extra"] = {"security": alternatives, **(options.get("openapi_extra") or {})}
        super().__init__(path, endpoint, **options)
        self.responses = _merged(problems(*self._own_problems()), self.responses)

    def _own_problems(self) -> list[type[Problem]]:
        found: list[type[Problem]] = [RateLimited, InternalError]
        if self.access.token:
            found += [Unauthenticated, Forbidden, TemporarilyUnavailable]
        if self.body_field is not None:
            found += [InvalidJson, RequestTooLarge, UnsupportedMediaType]
        if self.body_field is not None or self.dependant.query_params:
            found.append(InvalidRequest)
        return found

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        reads = self.body_field
        must_have_body = reads is not None and reads.field_info.is_required()

        async def guarded(request: Request) -> Response:
            _check_scope(self.access, request)
            if request.method not in ("GET", "HEAD"):
                if must_have_body:
                    _check_media_type(request)
                body = await _bounded_body(request, self.max_body_bytes)
                if body and reads is not None:
                    _check_media_type(request)
                self._look_at(request, body)
                request = Request(request.scope, _replay(body))
            return await handle(request)

        return guarded

    def _look_at(self, request: Request, body: bytes) -> None:
        """What a kind of route wants to see of a body before its endpoint does."""


def guarded_websocket(router: APIRouter, path: str) -> Callable[[Endpoint], Endpoint]:
    """Make a route for WebSockets that checks the scope first, as GuardedRoute does; its endpoint says which."""

    def add(endpoint: Endpoint) -> Endpoint:
        access = _declared(path, endpoint)

        async def check(connection: HTTPConnection) -> None:
            _check_scope(access, connection)

        router.add_api_websocket_route(path, endpoint, dependencies=[Depends(check)])
        return endpoint

    return add


def methods_at(routes: Sequence[BaseRoute], path: str) -> list[str]:
    """The methods of the resource at a path; Starlette's own answer has those of its first route alone."""
    found = [
        context.original_route for context in iter_route_contexts(routes) if isinstance(context.original_route, Route)
    ]
    at = next((route.path for route in found if route.path_regex.match(path)), None)
    return sorted({method for route in found if route.path == at for method in route.methods or ()})


def _declared(path: str, endpoint: Callable[..., Any]) -> Access:
    declared = getattr(endpoint, "access", None)
    if not isinstance(declared, Access):
        raise TypeError(f"{path}: put requires(), requires_token() or open_to_all() on {endpoint.__name__}")
    return declared


def _check_scope(access: Access, connection: HTTPConnection) -> None:
    principal: Principal | None = connection.state.principal
    if access.session and principal is None:
        raise Unauthenticated("Sign in first.")
    if not access.any_of:
        return
    if principal is None or not principal.may_any(access.any_of):
        wanted = " ".join(access.any_of)
        raise Forbidden(
            f"The token needs one of these scopes: {wanted}.",
            headers={"WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{wanted}"'},
        )


def _check_media_type(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType


async def _bounded_body(request: Request, at_most: int) -> bytes:
    """The whole body, with a length told beforehand or not. Raises RequestTooLarge as soon as it is."""
    told = request.headers.get("content-length", "0")
    chunks: list[bytes] = []
    size = int(told) if told.isdecimal() else 0
    if size <= at_most:
        size = 0
        async for chunk in request.stream():
            chunks.append(chunk)
            size += len(chunk)
            if size > at_most:
                break
    if size > at_most:
        raise RequestTooLarge(f"A body has at most {at_most} bytes.")
    return b"".join(chunks)


def _replay(body: bytes) -> Callable[[], Coroutine[Any, Any, Message]]:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def problems(*kinds: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses for these problems, with an example of each."""
    responses: dict[int | str, dict[str, Any]] = {
        # Declared by ourselves, or FastAPI would declare an error format that is not ours.
        "default": {"description": "Any other problem", "content": {PROBLEM_JSON: {"schema": _PROBLEM_SCHEMA}}}
    }
    for kind in kinds:
        example = {"summary": kind.title, "value": kind().body("c0ffee")}
        shown = {
            "description": kind.title,
            "content": {PROBLEM_JSON: {"schema": _PROBLEM_SCHEMA, "examples": {kind.code.value: example}}},
        }
        responses = _merged(responses, {kind.status: shown})
    return responses


_PROBLEM_SCHEMA = {"$ref": "#/components/schemas/ProblemDetails"}


def _merged(
    first: Mapping[int | str, dict[str, Any]], second: Mapping[int | str, dict[str, Any]]
) -> dict[int | str, dict[str, Any]]:
    """Both sets of responses; those with the same status show the examples of both."""
    merged = {**first, **second}
    for status in first.keys() & second.keys():
        examples: dict[str, Any] = {}
        for responses in (first, second):
            examples |= responses[status]["content"][PROBLEM_JSON].get("examples", {})
        if examples:
            content = {PROBLEM_JSON: {"schema": _PROBLEM_SCHEMA, "examples": examples}}
            description = "; or ".join(example["summary"] for example in examples.values())
            merged[status] = {"description": description, "content": content}
    return merged
