"""/v1/jobs and /v1/job-types: background work, by name."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.auth import Scope
from api.bodies import AsideBody, note_of
from api.dependencies import KEY_PARAMETER, Acting, Caller, IdempotencyKey, JobIdInPath, Jobs
from api.errors import (
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    InvalidCursor,
    JobBegan,
    JobOver,
    NotFound,
    RequestTooLarge,
)
from api.job_bodies import JobBody, RescheduleBody
from api.job_resource import JobList, JobResource, JobTypeList, JobTypeResource
from api.responses import answer
from api.routing import GuardedRoute, problems, requires
from contracts.ids import BATCH_ID
from contracts.job_types import OFFERED
from contracts.jobs import JobStatus


class JobRoute(GuardedRoute):
    """A route whose callers are told what to do with a body that is too large."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def advised(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestTooLarge as refusal:
                if refusal.errors:
                    # It says which arguments are.
                    raise
                raise RequestTooLarge(
                    f"A body has at most {self.max_body_bytes} bytes. Store what is larger, and pass its id."
                ) from None

        return advised


router = APIRouter(prefix="/v1", tags=["jobs"], route_class=JobRoute)

# Operators see and repair everybody's.
keepers = requires(Scope.JOBS_WRITE, Scope.OPERATOR)

ACCEPTED: dict[int | str, dict[str, Any]] = {
    200: {
        "model": JobResource,
        "description": "The job that this key had asked for before, or the one that lives under the unique key",
        "headers": {
            "Location": {"schema": {"type": "string"}, "description": "the job's URL"},
            "Idempotent-Replayed": {"schema": {"const": "true"}, "description": "when this key was used before"},
        },
    },
    202: {
        "description": "Accepted: the job is durable, and will be run",
        "headers": {"Location": {"schema": {"type": "string"}, "description": "the job's URL"}},
    },
}


class ListQuery(BaseModel, extra="forbid"):
    """How to narrow and page a list."""

    type: str | None = Field(default=None, max_length=100, pattern=r"^[^\x00]*$", description="only jobs of this type")
    status: JobStatus | None = Field(default=None, description="only jobs with this status")
    batch: str | None = Field(default=None, pattern=BATCH_ID, description="only jobs of this batch")
    cursor: str | None = Field(default=None, max_length=512, description="`next_cursor` of the page before")
    limit: int = Field(default=50, ge=1, le=100)


@router.get("/job-types", response_model=JobTypeList)
@keepers
async def list_job_types() -> Response:
    """List every type of job that may be asked for, with the JSON Schema of its arguments and its result."""
    return answer(JobTypeList(items=tuple(map(JobTypeResource.of, OFFERED.values()))))


@router.post(
    "/jobs",
    status_code=202,
    response_model=JobResource,
    openapi_extra={"parameters": [KEY_PARAMETER | {"description": "Names the job within the token's subject."}]},
    responses=ACCEPTED | problems(IdempotencyKeyMissing, IdempotencyKeyInvalid, IdempotencyKeyReused),
)
@requires(Scope.JOBS_WRITE)
async def enqueue(body: JobBody, key: IdempotencyKey, caller: Caller, jobs: Jobs) -> Response:
    """Accept a job. It is durable once this answers, and repeating the request with the same key is safe."""
    asked_for = await jobs.accept(caller, key, body)
    headers = {"Location": asked_for.job.links.self}
    if asked_for.replayed:
        headers["Idempotent-Replayed"] = "true"
    return answer(asked_for.job, 202 if asked_for.is_new else 200, headers)


@router.get("/jobs", response_model=JobList, responses=problems(InvalidCursor))
@keepers
async def list_jobs(query: Annotated[ListQuery, Query()], caller: Caller, jobs: Jobs) -> Response:
    """List jobs, newest first: the caller's own, or everybody's for an operator. Filters may be combined."""
    return answer(await jobs.list(caller, **query.model_dump()))


@router.get("/jobs/{job_id}", response_model=JobResource, responses=problems(NotFound))
@keepers
async def get_job(job_id: JobIdInPath, caller: Caller, jobs: Jobs) -> Response:
    """Read a job."""
    return answer(await jobs.get(caller, job_id))


@router.post("/jobs/{job_id}/cancel", response_model=JobResource, responses=problems(NotFound, JobOver))
@keepers
async def cancel_job(
    job_id: JobIdInPath, caller: Caller, acting: Acting, jobs: Jobs, body: AsideBody | None = None
) -> Response:
    """Cancel a job: at once before it begins or between attempts; one that runs is told, and stops when it can."""
    return answer(await jobs.cancel(caller, job_id, acting.because(note_of(body))))


@router.post(
    "/jobs/{job_id}/reschedule",
    response_model=JobResource,
    responses=problems(NotFound, JobBegan, JobOver),
)
@keepers
async def reschedule_job(
    job_id: JobIdInPath, body: RescheduleBody, caller: Caller, acting: Acting, jobs: Jobs
) -> Response:
    """Have a job that is `scheduled` begin at another time, sooner or later."""
    return answer(await jobs.reschedule(caller, job_id, body, acting.because(body.note)))
