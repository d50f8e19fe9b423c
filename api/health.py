"""/livez and /readyz, for those who run this."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from api.dependencies import Ready
from api.errors import InvalidRequest
from api.readiness import OK, Part
from api.responses import answer
from api.routing import GuardedRoute, open_to_all, problems

router = APIRouter(tags=["health"], route_class=GuardedRoute)


class Health(BaseModel):
    status: str = Field(examples=["ok"])


Excluded = Annotated[tuple[Part, ...], Query(description="parts that are not looked at; repeat it for several")]


class ReadinessReport(BaseModel):
    """`ok`, or what is wrong, by part."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"status": "ok", "checks": {"postgres": "ok", "temporal": "ok", "worker": "ok"}}]
        }
    )

    status: str = Field(description="ok or unavailable")
    checks: dict[str, str]


NOT_READY: dict[int | str, dict[str, Any]] = {503: {"model": ReadinessReport, "description": "A part is missing"}}


@router.get("/livez", response_model=Health)
@open_to_all()
async def is_alive() -> Response:
    """Say that this process runs, whatever else is away."""
    return answer(Health(status=OK))


@router.get("/readyz", response_model=ReadinessReport, responses=NOT_READY | problems(InvalidRequest))
@open_to_all()
async def is_ready(readiness: Ready, request: Request, exclude: Excluded = ()) -> Response:
    """Say whether orders can be taken and worked on: Postgres, Temporal, and a worker that asks for orders.

    A process that is about to stop is not ready either, whatever it still answers.
    """
    checks = {"api": "is stopping"} if request.app.state.leaving.is_told else await readiness.checks(exclude)
    ready = all(found == OK for found in checks.values())
    return answer(ReadinessReport(status=OK if ready else "unavailable", checks=checks), 200 if ready else 503)
