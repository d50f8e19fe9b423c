"""Whatever stands in a path or a query is refused in words: the list of places is that of the API's own document."""

from typing import Any

import pytest

from api.auth import Scope
from tests.acceptance.client import Caller, Door

NUL = "%00"
EXPECTED_AT_LEAST = 40


@pytest.fixture
def everybody(door: Door) -> Caller:
    """Somebody who may do anything."""
    return door.customer(*Scope)


def is_text(schema: dict[str, Any]) -> bool:
    kinds = schema.get("anyOf", [schema])
    return any(kind.get("type") == "string" or "$ref" in kind for kind in kinds)


def places(document: dict[str, Any]) -> list[tuple[str, str]]:
    """A method and a URL for each parameter that is a text, with NUL in it."""
    found = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parameters = operation.get("parameters", [])
            in_path = [one["name"] for one in parameters if one["in"] == "path"]
            for odd in parameters:
                if odd["in"] not in ("path", "query") or not is_text(odd["schema"]):
                    continue
                url = path
                for name in in_path:
                    url = url.replace(f"{{{name}}}", NUL if name == odd["name"] else "x")
                found.append((method.upper(), url + (f"?{odd['name']}={NUL}" if odd["in"] == "query" else "")))
    return found


async def test_nul_in_a_path_or_a_query_is_refused_wherever_there_is_text(everybody: Caller) -> None:
    document = (await everybody.get("/openapi.json")).json()
    asked = places(document)

    answers = {
        (method, url): (await everybody.http.request(method, url, headers=everybody.headers, json={})).status_code
        for method, url in asked
    }

    assert len(answers) >= EXPECTED_AT_LEAST
    assert {place: status for place, status in answers.items() if not 400 <= status < 500} == {}


@pytest.mark.parametrize("url", ["/confirm?token=%00", "/shop/orders?cursor=%00", "/shop/sign-in?next=%00"])
async def test_pages_break_over_none_either(everybody: Caller, url: str) -> None:
    assert (await everybody.get(url)).status_code < 500
