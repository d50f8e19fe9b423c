"""/v1/admin/bulk: many dead letters retried, or parked orders resolved, one after the other and at a rate."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from api.auth import Scope
from api.bodies import NoteBody, note_of
from api.bulk_bodies import BulkBody, BulkPreviewBody
from api.bulk_resource import BulkPreview, BulkResource
from api.dependencies import KEY_PARAMETER, Acting, BulkIdInPath, Bulks, IdempotencyKey
from api.errors import (
    CountDiffers,
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    NotFound,
    NothingToResume,
)
from api.responses import answer
from api.routing import GuardedRoute, problems, requires

router = APIRouter(prefix="/v1/admin/bulk", tags=["operators"], route_class=GuardedRoute)

_LOCATION = {"Location": {"schema": {"type": "string"}, "description": "the bulk action's URL"}}
ACCEPTED: dict[int | str, dict[str, Any]] = {
    200: {
        "model": BulkResource,
        "description": "The bulk action that this key had asked for before",
        "headers": {**_LOCATION, "Idempotent-Replayed": {"schema": {"const": "true"}, "description": "always"}},
    },
    202: {"description": "Accepted: it is durable, and will be done", "headers": _LOCATION},
}


@router.post("/preview", response_model=BulkPreview)
@requires(Scope.OPERATOR)
async def preview_bulk(body: BulkPreviewBody, bulks: Bulks) -> Response:
    """Count what a filter fits, and show the first of it; nothing is done."""
    return answer(await bulks.preview(body))


@router.post(
    "",
    status_code=202,
    response_model=BulkResource,
    openapi_extra={
        "parameters": [KEY_PARAMETER | {"description": "Names the bulk action within the token's subject."}]
    },
    responses=ACCEPTED | problems(IdempotencyKeyMissing, IdempotencyKeyInvalid, IdempotencyKeyReused, CountDiffers),
)
@requires(Scope.OPERATOR)
async def start_bulk(body: BulkBody, key: IdempotencyKey, acting: Acting, bulks: Bulks) -> Response:
    """Have all that a filter fits now retried or resolved, oldest first, up to 10,000 and no faster than told."""
    bulk, is_new = await bulks.accept(key, body, acting.because(body.note))
    headers = {"Location": bulk.links.self}
    if not is_new:
        headers["Idempotent-Replayed"] = "true"
    return answer(bulk, 202 if is_new else 200, headers)


@router.get("/{bulk_id}", response_model=BulkResource, responses=problems(NotFound))
@requires(Scope.OPERATOR)
async def get_bulk(bulk_id: BulkIdInPath, bulks: Bulks) -> Response:
    """Read how far a bulk action is, and what of it was not done."""
    return answer(await bulks.get(bulk_id))


@router.post("/{bulk_id}/cancel", response_model=BulkResource, responses=problems(NotFound))
@requires(Scope.OPERATOR)
async def cancel_bulk(bulk_id: BulkIdInPath, acting: Acting, bulks: Bulks, body: NoteBody | None = None) -> Response:
    """Leave what has not been done. Cancelling what is finished changes nothing."""
    return answer(await bulks.cancel(bulk_id, acting.because(note_of(body))))


@router.post("/{bulk_id}/resume", response_model=BulkResource, responses=problems(NotFound, NothingToResume))
@requires(Scope.OPERATOR)
async def resume_bulk(bulk_id: BulkIdInPath, acting: Acting, bulks: Bulks, body: NoteBody | None = None) -> Response:
    """Have a bulk action that failed go on with what was left."""
    return answer(await bulks.resume(bulk_id, acting.because(note_of(body))))
