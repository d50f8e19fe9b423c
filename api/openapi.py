"""The OpenAPI description: FastAPI's, with our security scheme, our error format and links."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.errors import FieldError, ProblemDetails
from api.job_resource import JobState
from api.openapi_links import add_links
from api.order_resource import EXAMPLE, OrderResource
from api.routing import BEARER

DESCRIPTION = """
Accepted work is always followed through. Every error is `application/problem+json` (RFC 9457) with a stable `code`.
All of `/v1` needs a bearer token; each operation names the scope it wants.
"""


def describe(app: FastAPI) -> dict[str, Any]:
    """The description of this application's routes."""
    described = get_openapi(title=app.title, version=app.version, description=DESCRIPTION.strip(), routes=app.routes)
    components = described.setdefault("components", {})
    template = "#/components/schemas/{model}"
    components["schemas"] |= {
        model.__name__: _without_definitions(model.model_json_schema(ref_template=template))
        for model in (FieldError, ProblemDetails, JobState)
    }
    components["schemas"]["ErrorCode"] = ProblemDetails.model_json_schema()["$defs"]["ErrorCode"]
    # FastAPI leaves out what is null, and examples with it.
    components["schemas"][OrderResource.__name__]["examples"] = [EXAMPLE]
    components["securitySchemes"] = {BEARER: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    add_links(described)
    return described


def _without_definitions(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != "$defs"}
