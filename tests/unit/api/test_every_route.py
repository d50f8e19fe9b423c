"""Every route there is, called while all behind it is away: by nobody, without a scope, and by an operator."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIWebSocketRoute, iter_route_contexts
from prometheus_client import REGISTRY

from api.middleware.requests import METHODS as METHODS_COUNTED
from api.routing import Access
from api.sessions import is_page
from tests.unit.api.conftest import Sign, running_app
from tests.unit.api.test_routes import OF_ONES_OWN, OPEN_PATHS

METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "BREW")
# For these one needs no token.
OPEN = OPEN_PATHS | {"/openapi.json", "/docs", "/docs/oauth2-redirect"}
ANYBODY = re.compile(r"/(shop|console)/(sign-in|sign-out|static/.*)")


@pytest.fixture(scope="module")
async def app(jwks: Path) -> AsyncIterator[FastAPI]:
    """Nobody is held up here by calling often."""
    async with running_app(jwks, FOLLOWTHROUGH_RATE_LIMIT_BURST="100000") as created:
        yield created


def routes(app: FastAPI) -> Iterator[tuple[str, Access | None, set[str]]]:
    """Path, who may call it, and its methods."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if not isinstance(route, APIWebSocketRoute):
            yield str(context.path), getattr(route, "access", None), set(getattr(route, "methods", None) or ())


def filled_in(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "x", path)


async def test_no_route_but_the_open_ones_answers_without_a_token_or_its_scope(
    app: FastAPI, http: httpx.AsyncClient, sign: Sign
) -> None:
    found = list(routes(app))
    assert len(found) > 50
    for path, access, methods in found:
        if path in OPEN or ANYBODY.fullmatch(path):
            continue
        assert access is not None, path
        for method in methods:
            where, called = f"{method} {path}", filled_in(path)
            nobody = await http.request(method, called)
            scopeless = await http.request(method, called, headers={"Authorization": f"Bearer {sign('')}"})
            if is_page(path):
                # A page looks at sessions alone, and asks one to sign in.
                assert {nobody.status_code, scopeless.status_code} <= {303, 401, 403}, where
                continue
            assert nobody.status_code == 401, where
            assert scopeless.status_code == 403 or path in OF_ONES_OWN, where


async def test_a_method_that_somebody_makes_up_adds_no_time_series(http: httpx.AsyncClient) -> None:
    for method in ("GET", "BREW", "MKCOL", "SOURCE"):
        for path in ("/livez", "/console", "/v1/orders", "/nothing"):
            await http.request(method, path)

    [requests] = [family for family in REGISTRY.collect() if family.name == "followthrough_api_request_seconds"]
    methods = {sample.labels["method"] for sample in requests.samples}
    assert {"GET", "other", "any"} <= methods <= METHODS_COUNTED | {"other", "any"}


async def test_whatever_is_asked_in_whatever_way_is_answered_hardened(
    app: FastAPI, http: httpx.AsyncClient, sign: Sign
) -> None:
    paths = [*sorted({filled_in(path) for path, *_ in routes(app)}), "/", "/nothing", "/v1", "/shop/nothing"]
    bearer = {"Authorization": f"Bearer {sign('operator orders:write jobs:write reports:write webhooks:write')}"}
    statuses: set[int] = set()
    for path in paths:
        for method in METHODS:
            for headers in ({}, bearer):
                answer = await http.request(method, path, headers=headers)
                statuses.add(answer.status_code)
                assert_hardened(answer, path)

    # Of each sort there was one.
    assert {200, 303, 401, 404, 405, 422, 503} <= statuses
    assert 500 not in statuses


def assert_hardened(answer: httpx.Response, path: str) -> None:
    where = f"{answer.request.method} {path}: {answer.status_code}"
    assert answer.headers["x-content-type-options"] == "nosniff", where
    assert answer.headers["referrer-policy"] in ("no-referrer", "same-origin"), where
    assert answer.headers["x-request-id"], where
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'"), where
    assert "frame-ancestors 'none'" in policy, where
    assert ("unsafe" in policy) == (path == "/docs"), where
    assert "server" not in answer.headers, where
