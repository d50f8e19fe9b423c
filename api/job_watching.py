"""/v1/jobs/{id}/events: watch how a job gets on, as it does."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.sse import format_sse_event
from starlette.responses import Response

from api.auth import Scope
from api.dependencies import Caller, JobIdInPath, JobNews, Jobs
from api.errors import NotFound
from api.event_streams import EventStream, events_of
from api.job_feed import FollowingJob
from api.job_resource import JobState
from api.metrics import JOB_WATCHERS_DROPPED
from api.routing import GuardedRoute, problems, requires

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=GuardedRoute)

HEADER = "Last-Event-ID"
LAST_EVENT_ID: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "The id of the last event that was received. Browsers send it by themselves. With that of the final "
    "event there is nothing more to come; with any other the job's present state comes first.",
    "schema": {"type": "string"},
    "example": "running",
}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: their ids are statuses, their data is what of the job changes, as JSON",
        "content": events_of(
            JobState,
            event_id="running",
            data='{"status":"running","attempt":1,"progress":{"done":3,"total":10,"note":"sleeping"},'
            '"last_error":null,"next_retry_at":null}',
        ),
    },
    204: {"description": "The final event was received before: there is nothing to reconnect for"},
}


@router.get(
    "/{job_id}/events",
    response_class=Response,
    openapi_extra={"parameters": [LAST_EVENT_ID]},
    responses=STREAM | problems(NotFound),
)
@requires(Scope.JOBS_WRITE, Scope.OPERATOR)
async def watch_job(job_id: JobIdInPath, request: Request, caller: Caller, jobs: Jobs, news: JobNews) -> Response:
    """Watch a job: how it is now, and then each change of status or progress, about once a second, until it is over.

    A comment comes after 15 s without an event. Reconnect to get the present state and what follows.
    """
    status = (await jobs.known(caller, job_id)).status
    if status.is_final and request.headers.get(HEADER) == status:
        return Response(status_code=204)
    return EventStream[FollowingJob](news.follow(job_id), _event_of, caller.expires_at, JOB_WATCHERS_DROPPED)


def _event_of(state: JobState) -> bytes:
    return format_sse_event(data_str=state.model_dump_json(), id=state.status)
