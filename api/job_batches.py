"""/v1/jobs/batch: many jobs of one type by one request."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from api.auth import Scope
from api.bodies import AsideBody, note_of
from api.dependencies import OPTIONAL_KEY_PARAMETER, Acting, Batches, BatchIdInPath, Caller, OptionalIdempotencyKey
from api.errors import IdempotencyKeyInvalid, IdempotencyKeyReused, NotFound
from api.job_batch_resource import BatchResource
from api.job_bodies import JobBatchBody
from api.jobs import JobRoute, keepers
from api.responses import answer
from api.routing import problems, requires


class JobBatchRoute(JobRoute):
    """Ten thousand items are larger than what any other request may have."""

    max_body_bytes = 4 * 1024 * 1024


router = APIRouter(prefix="/v1/jobs/batch", tags=["jobs"], route_class=JobBatchRoute)

_LOCATION = {"Location": {"schema": {"type": "string"}, "description": "the batch's URL"}}
ACCEPTED: dict[int | str, dict[str, Any]] = {
    200: {
        "model": BatchResource,
        "description": "The batch that this key had asked for before",
        "headers": {**_LOCATION, "Idempotent-Replayed": {"schema": {"const": "true"}, "description": "always"}},
    },
    202: {"description": "Accepted: all of its jobs are durable, and will be run", "headers": _LOCATION},
}


@router.post(
    "",
    status_code=202,
    response_model=BatchResource,
    openapi_extra={
        "parameters": [
            OPTIONAL_KEY_PARAMETER
            | {"description": "Names the batch within the token's subject; without one, each request makes a batch."}
        ]
    },
    responses=ACCEPTED | problems(IdempotencyKeyInvalid, IdempotencyKeyReused),
)
@requires(Scope.JOBS_WRITE)
async def enqueue_batch(body: JobBatchBody, key: OptionalIdempotencyKey, caller: Caller, batches: Batches) -> Response:
    """Accept up to 10,000 jobs of one type, all or none. Repeating the request with the same key is safe."""
    batch, is_new = await batches.accept(caller, key, body)
    headers = {"Location": batch.links.self}
    if not is_new:
        headers["Idempotent-Replayed"] = "true"
    return answer(batch, 202 if is_new else 200, headers)


@router.get("/{batch_id}", response_model=BatchResource, responses=problems(NotFound))
@keepers
async def get_batch(batch_id: BatchIdInPath, caller: Caller, batches: Batches) -> Response:
    """Read how far a batch is, and what failed of it first."""
    return answer(await batches.get(caller, batch_id))


@router.post("/{batch_id}/cancel", response_model=BatchResource, responses=problems(NotFound))
@keepers
async def cancel_batch(
    batch_id: BatchIdInPath, caller: Caller, acting: Acting, batches: Batches, body: AsideBody | None = None
) -> Response:
    """Cancel what has not ended: at once what does not run; what runs is told, and stops when it can."""
    return answer(await batches.cancel(caller, batch_id, acting.because(note_of(body))))
