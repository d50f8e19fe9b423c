"""/v1/admin/queues: what waits to be done, and who is there to do it."""

from fastapi import APIRouter
from starlette.responses import Response

from api.auth import Scope
from api.dependencies import Queues
from api.queue_resource import QueueList
from api.responses import answer
from api.routing import GuardedRoute, requires

router = APIRouter(prefix="/v1/admin/queues", tags=["operators"], route_class=GuardedRoute)


@router.get("", response_model=QueueList)
@requires(Scope.OPERATOR)
async def list_queues(queues: Queues) -> Response:
    """List every task queue: its depth, the age of its oldest task, its rates, and the workers that poll it."""
    return answer(await queues.list())
