"""OpenAPI links: what can be done with what an operation answers. They follow from the paths.

What answers at `/v1/orders` gives the last parameter of `/v1/orders/{order_id}`, of all below, and of their like in
`/v1/admin`; the parameters before it are those of its own request.
"""

import re
from collections.abc import Iterator
from typing import Any

LAST_PARAMETER = re.compile(r"(?P<collection>.*)/\{(?P<name>\w+)\}[^{}]*")
PARAMETER = re.compile(r"\{(\w+)\}")


def add_links(described: dict[str, Any]) -> None:
    """Link each answer to the operations on what it shows: the one thing, or the first of a list."""
    for path, operations in described["paths"].items():
        found = LAST_PARAMETER.fullmatch(path)
        if found is None:
            continue
        *others, name = PARAMETER.findall(path)
        given = {other: f"$request.path.{other}" for other in others}
        for response in _answers(described, found["collection"]):
            where = _pointer(described, response, name)
            if where is None:
                continue
            for operation in operations.values():
                operation_id = operation["operationId"]
                link = {"operationId": operation_id, "parameters": {**given, name: f"$response.body#/{where}"}}
                response.setdefault("links", {})[operation_id] = link


def _answers(described: dict[str, Any], collection: str) -> Iterator[dict[str, Any]]:
    """What the collection's operations answer when all is well."""
    paths = described["paths"]
    for operation in paths.get(collection, paths.get(collection.replace("/admin/", "/"), {})).values():
        yield from (response for status, response in operation["responses"].items() if status.startswith("2"))


def _pointer(described: dict[str, Any], response: dict[str, Any], name: str) -> str | None:
    """Where in an answer the parameter's value stands: what is called like it, or the id."""
    schemas = described["components"]["schemas"]

    def properties(schema: dict[str, Any]) -> dict[str, Any]:
        resolved = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        found: dict[str, Any] = resolved.get("properties", {})
        return found

    shown = properties(response.get("content", {}).get("application/json", {}).get("schema", {}))
    at = ""
    if "items" in shown:
        shown, at = properties(shown["items"]["items"]), "items/0/"
    return next((f"{at}{field}" for field in (name, "id") if field in shown), None)
