"""/v1/reports: files of orders, written in the background."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.auth import Scope
from api.dependencies import (
    OPTIONAL_KEY_PARAMETER,
    Caller,
    Downloads,
    OptionalIdempotencyKey,
    ReportIdInPath,
    Reports,
)
from api.errors import (
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
    InvalidCursor,
    NotFound,
    PreconditionFailed,
    RangeNotSatisfiable,
    ReportNotReady,
)
from api.report_bodies import ReportBody
from api.report_resource import ReportList, ReportResource
from api.responses import answer
from api.routing import GuardedRoute, problems, requires
from contracts.order_rows import csv_header

router = APIRouter(prefix="/v1/reports", tags=["reports"], route_class=GuardedRoute)

keepers = requires(Scope.REPORTS_WRITE, Scope.OPERATOR)

_LOCATION: dict[str, Any] = {"Location": {"schema": {"type": "string"}, "description": "the report's URL"}}
ACCEPTED: dict[int | str, dict[str, Any]] = {
    200: {
        "model": ReportResource,
        "description": "The report that this key had asked for before",
        "headers": {**_LOCATION, "Idempotent-Replayed": {"schema": {"const": "true"}}},
    },
    202: {"description": "Accepted: the report is durable, and will be written", "headers": _LOCATION},
}
_TEXT: dict[str, Any] = {"schema": {"type": "string"}}
_FILE: dict[str, Any] = {
    "text/csv": {**_TEXT, "example": csv_header().decode()},
    "application/jsonl": _TEXT,
}
_ETAG: dict[str, Any] = {"ETag": {**_TEXT, "description": "the file's SHA-256"}}
FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", "content": _FILE, "headers": {**_ETAG, "Accept-Ranges": _TEXT}},
    206: {"description": "The bytes asked for", "content": _FILE, "headers": {**_ETAG, "Content-Range": _TEXT}},
    304: {"description": "The client has it already", "headers": _ETAG},
    307: {
        "description": "The file is in a bucket, which takes ranges as we do",
        "headers": {"Location": {**_TEXT, "description": "good for a minute, for whoever has it"}},
    },
}
DESCRIBED: dict[int | str, dict[str, Any]] = {status: FILE[status] for status in (200, 304)}


def _header(name: str, description: str, example: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, **_TEXT, "example": example}


CONDITIONS = [
    _header("Range", "one range of bytes; several are answered with everything", "bytes=1000-"),
    _header("If-Range", "the ETag of what the range is to continue; of anything else everything is sent", '"9f86d0"'),
    _header("If-Match", "ETags of what is wanted alone: answered with 412 when this file is not among it", '"9f86d0"'),
    _header("If-None-Match", "ETags of what one has: answered with 304 when this file is among it", '"9f86d0"'),
]


class ListQuery(BaseModel, extra="forbid"):
    """How to page a list."""

    cursor: str | None = Field(default=None, max_length=512, description="`next_cursor` of the page before")
    limit: int = Field(default=50, ge=1, le=100)


@router.post(
    "",
    status_code=202,
    response_model=ReportResource,
    openapi_extra={
        "parameters": [
            OPTIONAL_KEY_PARAMETER
            | {"description": "Names the report within the token's subject; without one, each request makes a report."}
        ]
    },
    responses=ACCEPTED | problems(IdempotencyKeyInvalid, IdempotencyKeyReused),
)
@requires(Scope.REPORTS_WRITE)
async def ask_for_report(body: ReportBody, key: OptionalIdempotencyKey, caller: Caller, reports: Reports) -> Response:
    """Have a report written: of the caller's own orders, or of everybody's for an operator."""
    asked_for = await reports.accept(caller, key, body)
    headers = {"Location": asked_for.report.links.self}
    if not asked_for.is_new:
        headers["Idempotent-Replayed"] = "true"
    return answer(asked_for.report, 202 if asked_for.is_new else 200, headers)


@router.get("", response_model=ReportList, responses=problems(InvalidCursor))
@keepers
async def list_reports(query: Annotated[ListQuery, Query()], caller: Caller, reports: Reports) -> Response:
    """List reports, newest first: the caller's own, or everybody's for an operator."""
    return answer(await reports.list(caller, cursor=query.cursor, limit=query.limit))


@router.get("/{report_id}", response_model=ReportResource, responses=problems(NotFound))
@keepers
async def get_report(report_id: ReportIdInPath, caller: Caller, reports: Reports) -> Response:
    """Read how far a report is."""
    return answer(await reports.get(caller, report_id))


@router.get(
    "/{report_id}/download",
    response_class=Response,
    openapi_extra={"parameters": CONDITIONS},
    responses=FILE | problems(NotFound, ReportNotReady, PreconditionFailed, RangeNotSatisfiable),
)
@keepers
async def download_report(
    report_id: ReportIdInPath, request: Request, caller: Caller, reports: Reports, downloads: Downloads
) -> Response:
    """Download a report's file, or a part of it."""
    report, file = await reports.file(caller, report_id)
    return await downloads.answer(report, file, request.headers)


@router.head(
    "/{report_id}/download",
    response_class=Response,
    openapi_extra={"parameters": CONDITIONS},
    responses=DESCRIBED | problems(NotFound, ReportNotReady, PreconditionFailed),
)
@keepers
async def describe_download(
    report_id: ReportIdInPath, request: Request, caller: Caller, reports: Reports, downloads: Downloads
) -> Response:
    """Learn the size and the ETag of a report's file."""
    report, file = await reports.file(caller, report_id)
    return downloads.about(report, file, request.headers)
