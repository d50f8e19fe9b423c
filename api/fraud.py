"""/v1/admin/fraud: how much one customer may spend."""

from fastapi import APIRouter
from starlette.responses import Response

from api.auth import Scope
from api.bodies import FraudLimitBody, MaintenanceBody
from api.dependencies import Acting, Fraud, NoteInQuery
from api.outages import asking_postgres
from api.responses import answer
from api.routing import GuardedRoute, requires
from contracts.fraud import FraudLimit, FraudSettings, Maintenance

router = APIRouter(prefix="/v1/admin/fraud", tags=["operators"], route_class=GuardedRoute)


@router.get("", response_model=FraudSettings)
@requires(Scope.OPERATOR)
async def get_fraud_settings(fraud: Fraud) -> Response:
    """Show the limit, and whether checks are under maintenance."""
    async with asking_postgres():
        return answer(await fraud.settings())


@router.put("/limit", response_model=FraudSettings)
@requires(Scope.OPERATOR)
async def put_fraud_limit(body: FraudLimitBody, acting: Acting, fraud: Fraud) -> Response:
    """Limit what a customer may spend within any window of this length. An order over it is rejected."""
    async with asking_postgres():
        limit = FraudLimit(amount=body.amount, window_s=body.window_s)
        return answer(await fraud.set_limit(limit, acting.because(body.note)))


@router.delete("/limit", response_model=FraudSettings)
@requires(Scope.OPERATOR)
async def delete_fraud_limit(acting: Acting, fraud: Fraud, note: NoteInQuery = None) -> Response:
    """Switch the limit off."""
    async with asking_postgres():
        return answer(await fraud.set_limit(None, acting.because(note)))


@router.put("/maintenance", response_model=FraudSettings)
@requires(Scope.OPERATOR)
async def put_fraud_maintenance(body: MaintenanceBody, acting: Acting, fraud: Fraud) -> Response:
    """Have orders wait before they are charged, or go on."""
    async with asking_postgres():
        maintenance = Maintenance(enabled=body.enabled)
        return answer(await fraud.set_maintenance(maintenance, acting.because(body.note)))
