"""/console: how things are, the search for anything with an id, accounts, and the audit log."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BeforeValidator
from starlette.responses import RedirectResponse, Response

from api.auth import Scope
from api.console_ids import page_of
from api.console_page import page
from api.console_workers import workers_of
from api.dead_letter_bodies import Sought
from api.dependencies import AccountIdInPath, Accounts, Caller, Counted, Letters, OrderFigures, Queues
from api.outages import Unreachable, asking_postgres
from api.page_routing import PageRoute, SignedIn
from api.routing import requires_session
from api.sessions import CONSOLE
from contracts.dead_letters import DeadLetterFilter
from database.order_figures import COUNTED
from database.tallies import COUNTED_TO

SHOWN = 25
# Of a form's fields a browser sends those, too, that were left empty.
Typed = Annotated[Sought | None, BeforeValidator(lambda typed: typed.strip() or None)]

router = APIRouter(prefix=CONSOLE, route_class=PageRoute, include_in_schema=False)


@router.get("")
@requires_session(Scope.OPERATOR)
async def show_overview(
    session: SignedIn, letters: Letters, counted: Counted, figures: OrderFigures, queues: Queues
) -> Response:
    """What needs attention, how many orders come, wait and end, and whether there is somebody to do the work."""
    dead = await letters.list(DeadLetterFilter(), cursor=None, limit=1)
    async with asking_postgres():
        orders, jobs = await counted.orders(), await counted.jobs()
        items = await counted.attention_items()
        flow = await figures.now()
    try:
        found = (await queues.list()).items
    except Unreachable:
        found = None
    return page(
        "overview.html",
        session,
        dead=dead,
        orders=orders,
        jobs=jobs,
        items=sum(items.values()),
        flow=flow,
        queues=found,
        workers=workers_of(found or ()),
        counted_to=COUNTED_TO,
        flow_counted_to=COUNTED,
    )


@router.get("/search")
@requires_session(Scope.OPERATOR)
async def search(session: SignedIn, q: Annotated[str, Query(max_length=100)] = "") -> Response:
    """Go to the page of what has this id."""
    sought = q.strip()
    where = page_of(sought)
    if where is not None:
        return RedirectResponse(where, 303)
    return page("search.html", session, status=404 if sought else 200, sought=sought)


@router.get("/accounts/{account_id}")
@requires_session(Scope.OPERATOR)
async def show_account(session: SignedIn, account_id: AccountIdInPath, caller: Caller, accounts: Accounts) -> Response:
    """An account, without its address."""
    account = await accounts.get(caller, account_id)
    return page("account.html", session, account=account)


@router.get("/audit")
@requires_session(Scope.OPERATOR)
async def show_audit_log(
    session: SignedIn,
    letters: Letters,
    subject: Typed = None,
    actor: Typed = None,
    cursor: Annotated[str | None, Query(max_length=512)] = None,
) -> Response:
    """Who did what, when, why, and what changed by it, newest first."""
    found = await letters.audit(subject=subject, actor=actor, action=None, cursor=cursor, limit=SHOWN)
    return page("audit.html", session, found=found, subject=subject, actor=actor, is_first=cursor is None)
