"""/v1/admin/schedules: what runs when, what came of it, and what operators do about it."""

import structlog
from fastapi import APIRouter
from starlette.responses import Response

from api.auth import Scope
from api.dependencies import Caller, Schedules
from api.errors import NotFound
from api.responses import answer
from api.routing import GuardedRoute, problems, requires
from api.schedule_bodies import BackfillBody, PauseBody
from api.schedule_resource import ScheduleList, ScheduleResource

router = APIRouter(prefix="/v1/admin/schedules", tags=["operators"], route_class=GuardedRoute)

log = structlog.get_logger()


@router.get("", response_model=ScheduleList)
@requires(Scope.OPERATOR)
async def list_schedules(schedules: Schedules) -> Response:
    """List every schedule, with its last and its next runs, and what Temporal has otherwise than the code says."""
    return answer(await schedules.list())


@router.get("/{name}", response_model=ScheduleResource, responses=problems(NotFound))
@requires(Scope.OPERATOR)
async def get_schedule(name: str, schedules: Schedules) -> Response:
    """Read a schedule."""
    return answer(await schedules.get(name))


@router.post("/{name}/pause", response_model=ScheduleResource, responses=problems(NotFound))
@requires(Scope.OPERATOR)
async def pause_schedule(name: str, caller: Caller, schedules: Schedules, body: PauseBody | None = None) -> Response:
    """Start nothing until it is resumed. A run under way goes on, and `migrate` does not change this."""
    shown = await schedules.pause(name, _note(body, f"paused by {caller.subject}"))
    log.info("schedule paused", schedule=name, operator=caller.subject)
    return answer(shown)


@router.post("/{name}/resume", response_model=ScheduleResource, responses=problems(NotFound))
@requires(Scope.OPERATOR)
async def resume_schedule(name: str, caller: Caller, schedules: Schedules, body: PauseBody | None = None) -> Response:
    """Go on. What was due in between is not made up for: see backfill."""
    shown = await schedules.resume(name, _note(body, f"resumed by {caller.subject}"))
    log.info("schedule resumed", schedule=name, operator=caller.subject)
    return answer(shown)


@router.post("/{name}/trigger", status_code=202, response_model=ScheduleResource, responses=problems(NotFound))
@requires(Scope.OPERATOR)
async def trigger_schedule(name: str, caller: Caller, schedules: Schedules) -> Response:
    """Run now, or as soon as the run under way has ended; also while it is paused."""
    shown = await schedules.trigger(name)
    log.info("schedule triggered", schedule=name, operator=caller.subject)
    return answer(shown, 202)


@router.post("/{name}/backfill", status_code=202, response_model=ScheduleResource, responses=problems(NotFound))
@requires(Scope.OPERATOR)
async def backfill_schedule(name: str, body: BackfillBody, caller: Caller, schedules: Schedules) -> Response:
    """Do the runs that were due in a time that has passed: at most 31 days, and 500 runs."""
    shown = await schedules.backfill(name, body)
    log.info("schedule backfilled", schedule=name, operator=caller.subject, since=body.since, until=body.until)
    return answer(shown, 202)


def _note(body: PauseBody | None, default: str) -> str:
    return (body.note if body else None) or default
