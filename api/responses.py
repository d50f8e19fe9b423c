"""Ready-made answers: a resource is written once, by Pydantic, and not validated a second time by FastAPI."""

from collections.abc import Mapping

from pydantic import BaseModel
from starlette.responses import Response


def answer(resource: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(resource.model_dump_json(), status, headers, media_type="application/json")
