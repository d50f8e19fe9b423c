"""/v1/admin/schedules: what runs when, what came of it, and what operators do about it."""

from fastapi import APIRouter
from starlette.responses import Response

from api.auth import Scope
from api.bodies import AsideBody, NoteBody, note_of
from api.dependencies import Acting, Schedules
from api.errors import NotFound
from api.responses import answer
from api.routing import GuardedRoute, problems, requires
from api.schedule_bodies import BackfillBody
from api.schedule_resource import ScheduleList, ScheduleResource

router = APIRouter(prefix="/v1/admin/schedules", tags=["operators"], route_class=GuardedRoute)


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
async def pause_schedule(name: str, acting: Acting, schedules: Schedules, body: NoteBody | None = None) -> Response:
    """Start nothing until it is resumed. A run under way goes on, and `migrate` does not change this."""
    return answer(await schedules.pause(name, acting.because(note_of(body))))


@router.post("/{name}/resume", response_model=ScheduleResource, responses=problems(NotFound))
@requires(Scope.OPERATOR)
async def resume_schedule(name: str, acting: Acting, schedules: Schedules, body: NoteBody | None = None) -> Response:
    """Go on. What was due in between is not made up for: see backfill."""
    return answer(await schedules.resume(name, acting.because(note_of(body))))


@router.post("/{name}/trigger", status_code=202, response_model=ScheduleResource, responses=problems(NotFound))
@requires(Scope.OPERATOR)
async def trigger_schedule(name: str, acting: Acting, schedules: Schedules, body: AsideBody | None = None) -> Response:
    """Run now, or as soon as the run under way has ended; also while it is paused."""
    return answer(await schedules.trigger(name, acting.because(note_of(body))), 202)


@router.post("/{name}/backfill", status_code=202, response_model=ScheduleResource, responses=problems(NotFound))
@requires(Scope.OPERATOR)
async def backfill_schedule(name: str, body: BackfillBody, acting: Acting, schedules: Schedules) -> Response:
    """Do the runs that were due in a time that has passed: at most 31 days, and 500 runs."""
    return answer(await schedules.backfill(name, body, acting.because(body.note)), 202)
