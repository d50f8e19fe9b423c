"""/console/schedules: what runs by the clock, what came of it, and holding it back or having it run."""

from fastapi import APIRouter
from starlette.responses import Response

from api.auth import Scope
from api.console_deeds import SCHEDULE_DEEDS, Question, ScheduleDeed
from api.console_page import page
from api.dependencies import Acting, Letters, Schedules, UiLinks
from api.page_routing import Form, PageRoute, SignedIn
from api.routing import requires_session
from api.sessions import CONSOLE
from contracts.audit import Act

SHOWN = 25
PATH = f"{CONSOLE}/schedules"

router = APIRouter(prefix=PATH, route_class=PageRoute, include_in_schema=False)


@router.get("")
@requires_session(Scope.OPERATOR)
async def list_schedules(session: SignedIn, schedules: Schedules) -> Response:
    """Every schedule."""
    return page("schedules.html", session, found=await schedules.list())


@router.get("/{name}")
@requires_session(Scope.OPERATOR)
async def show_schedule(
    session: SignedIn, name: str, schedules: Schedules, letters: Letters, links: UiLinks
) -> Response:
    """A schedule, with its last and its next runs."""
    schedule = await schedules.get(name)
    audit = await letters.audit(subject=name, actor=None, action=None, cursor=None, limit=SHOWN)
    deeds = (ScheduleDeed.TRIGGER, ScheduleDeed.RESUME if schedule.paused else ScheduleDeed.PAUSE)
    return page(
        "schedule.html",
        session,
        schedule=schedule,
        runs=[(run, links.of_workflow(run.workflow_id)) for run in schedule.last_runs],
        deeds=[(deed, SCHEDULE_DEEDS[deed]) for deed in deeds],
        audit=audit,
    )


@router.get("/{name}/{deed}")
@requires_session(Scope.OPERATOR)
async def ask_about_schedule(session: SignedIn, name: str, deed: ScheduleDeed, schedules: Schedules) -> Response:
    await schedules.get(name)
    return _question(name, deed).ask(session)


@router.post("/{name}/{deed}")
@requires_session(Scope.OPERATOR)
async def treat_schedule(
    session: SignedIn, name: str, deed: ScheduleDeed, acting: Acting, schedules: Schedules, form: Form
) -> Response:
    async def do(act: Act) -> None:
        match deed:
            case ScheduleDeed.PAUSE:
                await schedules.pause(name, act)
            case ScheduleDeed.RESUME:
                await schedules.resume(name, act)
            case ScheduleDeed.TRIGGER:
                await schedules.trigger(name, act)

    return await _question(name, deed).settle(session, form, acting, do)


def _question(name: str, deed: ScheduleDeed) -> Question:
    where = f"{PATH}/{name}"
    return Question(SCHEDULE_DEEDS[deed], name, action=f"{where}/{deed}", back=where)
