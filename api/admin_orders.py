"""/v1/admin/orders: what operators decide and repair."""

from fastapi import APIRouter
from starlette.responses import Response

from api.auth import Scope
from api.bodies import NoteBody, ResolveBody, note_of
from api.dependencies import Acting, Caller, Commands, OrderIdInPath
from api.errors import BooksContradict, NotAwaitingApproval, NotFound, NotParked
from api.order_resource import OrderResource
from api.responses import answer
from api.routing import GuardedRoute, problems, requires

router = APIRouter(prefix="/v1/admin/orders", tags=["operators"], route_class=GuardedRoute)


@router.post(
    "/{order_id}/approve",
    status_code=202,
    response_model=OrderResource,
    responses=problems(NotFound, NotAwaitingApproval),
)
@requires(Scope.OPERATOR)
async def approve_order(
    order_id: OrderIdInPath, caller: Caller, acting: Acting, commands: Commands, body: NoteBody | None = None
) -> Response:
    """Let an order that waits for approval go on. The first decision counts; repeating it is harmless."""
    return answer(await commands.decide(caller, order_id, approved=True, act=acting.because(note_of(body))), 202)


@router.post(
    "/{order_id}/reject",
    status_code=202,
    response_model=OrderResource,
    responses=problems(NotFound, NotAwaitingApproval),
)
@requires(Scope.OPERATOR)
async def reject_order(
    order_id: OrderIdInPath, caller: Caller, acting: Acting, commands: Commands, body: NoteBody | None = None
) -> Response:
    """End an order that waits for approval. The first decision counts; repeating it is harmless."""
    return answer(await commands.decide(caller, order_id, approved=False, act=acting.because(note_of(body))), 202)


@router.post("/{order_id}/retry", response_model=OrderResource, responses=problems(NotFound, NotParked))
@requires(Scope.OPERATOR)
async def retry_order(
    order_id: OrderIdInPath, caller: Caller, acting: Acting, commands: Commands, body: NoteBody | None = None
) -> Response:
    """Have an order that needs attention go on where it stopped."""
    return answer(await commands.retry(caller, order_id, acting.because(note_of(body))))


@router.post(
    "/{order_id}/resolve", response_model=OrderResource, responses=problems(NotFound, NotParked, BooksContradict)
)
@requires(Scope.OPERATOR)
async def resolve_order(
    order_id: OrderIdInPath, caller: Caller, acting: Acting, commands: Commands, body: ResolveBody
) -> Response:
    """Close an order that needs attention by hand. Refused when the ledger of our books contradicts the status."""
    return answer(await commands.resolve(caller, order_id, status=body.status, act=acting.because(body.note)))
