"""What holds for every route."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIWebSocketRoute, iter_route_contexts
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import validate

from api.auth import Scope
from api.routing import Access, GuardedRoute, guarded_websocket
from tests.unit.api.conftest import Sign

OPEN_PATHS = {"/livez", "/readyz", "/confirm", "/v1/accounts", "/v1/accounts/confirm"} | {
    "/v1/inbound/payments",
    "/v1/inbound/carrier",
}
# Any token will do: it is its subject that counts.
OF_ONES_OWN = {"/v1/catalogue", "/v1/accounts/{account_id}", "/v1/accounts/{account_id}/resend"}
WITHOUT_CONTENT = {"204", "304", "307"}
OUTSIDE_OF_OPENAPI = {"/openapi.json", "/docs", "/docs/oauth2-redirect"}


def routes(app: FastAPI) -> Iterator[GuardedRoute]:
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, GuardedRoute):
            yield route
        elif not isinstance(route, APIWebSocketRoute):
            assert getattr(route, "path", None) in OUTSIDE_OF_OPENAPI


def test_every_route_says_who_may_call_it(app: FastAPI) -> None:
    found = list(routes(app))

    assert len(found) >= 11
    for route in found:
        if route.path.startswith(("/shop", "/console")):  # see test_pages.py
            assert not route.access.token, route.path
            continue
        assert route.access.token == (route.path not in OPEN_PATHS), route.path
        if route.path.startswith("/v1/admin/"):
            assert route.access.any_of == (Scope.OPERATOR,), route.path
        elif route.access.token:
            assert bool(route.access.any_of) == (route.path not in OF_ONES_OWN), route.path


def test_every_websocket_says_who_may_call_it_and_asks_that_first(app: FastAPI) -> None:
    found = [
        context.original_route
        for context in iter_route_contexts(app.routes)
        if isinstance(context.original_route, APIWebSocketRoute)
    ]

    assert found
    for route in found:
        access = getattr(route.endpoint, "access", None)
        assert isinstance(access, Access), route.path
        assert access.any_of, route.path
        assert "guarded_websocket" in getattr(route.dependencies[0].dependency, "__qualname__", ""), route.path


def test_a_route_that_does_not_say_it_cannot_be_made() -> None:
    router = APIRouter(route_class=GuardedRoute)

    async def endpoint() -> None: ...

    with pytest.raises(TypeError, match="requires"):
        router.get("/v1/forgotten")(endpoint)
    with pytest.raises(TypeError, match="requires"):
        guarded_websocket(router, "/v1/forgotten")(endpoint)


async def test_the_description_is_valid_openapi(app: FastAPI) -> None:
    described = app.openapi()

    validate(described)
    assert described["openapi"].startswith("3.1")


async def test_every_example_validates(app: FastAPI) -> None:
    described = app.openapi()
    examples = list(_examples(described))

    assert len(examples) > 60
    for schema, example in examples:
        Draft202012Validator({**schema, "components": described["components"]}).validate(example)


async def test_every_operation_shows_its_body_its_answer_and_its_problems(app: FastAPI) -> None:
    described = app.openapi()

    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert "HTTPValidationError" not in str(operation), where
            assert operation["summary"], where
            for status, response in operation["responses"].items():
                kinds = set(response.get("content", ()))
                known = {"application/json", "application/problem+json", "text/event-stream", "text/csv"} | {
                    "application/jsonl"
                }
                assert kinds <= known, f"{where} {status}"
                assert bool(kinds) == (status not in WITHOUT_CONTENT), f"{where} {status}"
            if path in OPEN_PATHS and method == "post":
                assert {"429", "503"} <= operation["responses"].keys(), where
            elif path.startswith("/v1/"):
                assert {"401", "403", "429", "503"} <= operation["responses"].keys(), where
                assert operation["security"], where


async def test_every_operation_with_a_query_says_that_it_may_be_refused(app: FastAPI) -> None:
    asked = [one for one in _operations(app) if any(sent["in"] == "query" for sent in one.get("parameters", ()))]

    assert len(asked) > 10
    assert [one["operationId"] for one in asked if "422" not in one["responses"]] == []


async def test_a_refused_method_is_told_all_that_are_allowed(app: FastAPI, http: httpx.AsyncClient, sign: Sign) -> None:
    headers = {"Authorization": f"Bearer {sign('operator')}"}

    for path, operations in app.openapi()["paths"].items():
        refused = await http.options(re.sub(r"\{\w+\}", "x%20y", path), headers=headers)
        assert refused.status_code == 405, path
        allowed = refused.headers["allow"].split(", ")
        assert allowed == sorted(method.upper() for method in operations), path


async def test_a_text_is_as_long_as_it_is_sent(http: httpx.AsyncClient, sign: Sign) -> None:
    headers = {"Authorization": f"Bearer {sign('operator')}"}

    answer = await http.post(
        "/v1/admin/bulk/blk_01K5X7M2N4R6W8Y0C3ZGVBHQ8S/cancel", headers=headers, json={"note": f"{' ' * 500}x"}
    )

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"] == [{"field": "note", "message": "String should have at most 500 characters"}]


@pytest.mark.parametrize("number", [False, True, "60"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/admin/bulk/preview", {"action": "retry", "filter": {"older_than_s": ...}}),
        ("/v1/admin/dead-letters/retry", {"filter": {"older_than_s": ...}, "preview": True}),
        ("/v1/admin/bulk", {"action": "retry", "filter": {}, "limit": 1, "per_second": ...}),
    ],
)
async def test_what_is_no_number_is_not_taken_for_one(
    http: httpx.AsyncClient, sign: Sign, path: str, body: dict[str, Any], number: Any
) -> None:
    sent = json.dumps(body, default=lambda _: number)

    answer = await http.post(
        path,
        content=sent,
        headers={
            "Authorization": f"Bearer {sign('operator')}",
            "Content-Type": "application/json",
            "Idempotency-Key": "key",
        },
    )

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"].rpartition(".")[2] in ("older_than_s", "per_second")


async def test_every_operation_has_an_id_of_its_own(app: FastAPI) -> None:
    ids = [operation["operationId"] for operation in _operations(app)]

    assert sorted(set(ids)) == sorted(ids)
    assert "place_order" in ids


async def test_every_operation_on_a_resource_is_linked_from_what_answers_with_its_id(app: FastAPI) -> None:
    described = app.openapi()
    operations = {operation["operationId"]: operation for operation in _operations(app)}
    linked = set()

    for operation in operations.values():
        for response in operation["responses"].values():
            for link in response.get("links", {}).values():
                target = operations[link["operationId"]]
                assert set(link["parameters"]) == _in_path(target), link
                for expression in link["parameters"].values():
                    assert _leads_somewhere(expression, operation, response, described), (
                        operation["operationId"],
                        link,
                    )
                linked.add(link["operationId"])

    assert {name for name, operation in operations.items() if _in_path(operation)} - linked == set()


async def test_the_docs_are_served_with_a_policy_of_their_own(http: httpx.AsyncClient) -> None:
    docs = await http.get("/docs")

    assert docs.status_code == 200
    assert "unsafe-inline" in docs.headers["content-security-policy"]
    sources = re.findall(r'(?:src|href)="(https://[^/"]+)', docs.text)
    assert sources
    assert all(source in docs.headers["content-security-policy"] for source in sources)


def _operations(app: FastAPI) -> Iterator[dict[str, Any]]:
    for operations in app.openapi()["paths"].values():
        yield from operations.values()


def _in_path(operation: dict[str, Any]) -> set[str]:
    return {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "path"}


def _leads_somewhere(
    expression: str, operation: dict[str, Any], response: dict[str, Any], described: dict[str, Any]
) -> bool:
    """Whether what a runtime expression of a link points to is described."""
    if expression.startswith("$request.path."):
        return expression.removeprefix("$request.path.") in _in_path(operation)
    schema = response["content"]["application/json"]["schema"]
    for token in expression.removeprefix("$response.body#/").split("/"):
        if "$ref" in schema:
            schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        schema = schema["items"] if token.isdecimal() else schema["properties"].get(token)
        if schema is None:
            return False
    return True


def _examples(node: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Every (schema, example) of a description: in schemas, media types and parameters."""
    if isinstance(node, list):
        for member in node:
            yield from _examples(member)
    if not isinstance(node, dict):
        return
    given = node.get("examples", [])
    if "schema" in node:
        named = given.values() if isinstance(given, dict) else ()
        yield from ((node["schema"], example["value"]) for example in named)
        if "example" in node:
            yield node["schema"], node["example"]
    elif isinstance(given, list):
        yield from ((node, example) for example in given)
    for name, member in node.items():
        if name not in ("examples", "example"):
            yield from _examples(member)
