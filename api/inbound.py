"""/v1/inbound: what providers tell us of their own accord. They have no token; they sign what they send."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.dependencies import Inbound
from api.errors import InvalidJson, InvalidRequest, RequestTooLarge, SignatureInvalid, TemporarilyUnavailable
from api.inbound_receiving import Received
from api.responses import answer
from api.routing import GuardedRoute, open_to_all, problems

router = APIRouter(prefix="/v1/inbound", tags=["inbound"], route_class=GuardedRoute)

PROBLEMS = problems(SignatureInvalid, InvalidJson, InvalidRequest, RequestTooLarge, TemporarilyUnavailable)


def _described(example: dict[str, Any], *headers: str) -> dict[str, Any]:
    """The request as OpenAPI shows it: the endpoints read the raw body, which FastAPI knows nothing of."""
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object"}, "example": example}},
        },
        "parameters": [
            {"name": name, "in": "header", "required": True, "schema": {"type": "string"}} for name in headers
        ],
    }


@router.post(
    "/payments",
    response_model=Received,
    responses=PROBLEMS,
    openapi_extra=_described(
        {"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": {"id": "pi_1"}}}, "Stripe-Signature"
    ),
)
@open_to_all()
async def payments(request: Request, inbound: Inbound) -> Response:
    """Take in an event of the payment provider, in Stripe's format and signed in Stripe's way.

    It is kept once this answers; what follows from it follows after. Repeating it is harmless.
    """
    return answer(await inbound.payments(request.headers, await request.body()))


@router.post(
    "/carrier",
    response_model=Received,
    responses=PROBLEMS,
    openapi_extra=_described(
        {
            "type": "shipment.dispatched",
            "timestamp": "2026-11-21T11:20:56Z",
            "data": {"shipment_id": "shp_1", "order_id": "ord_1", "reference": "ord_1-1"},
        },
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    ),
)
@open_to_all()
async def carrier(request: Request, inbound: Inbound) -> Response:
    """Take in an event of the carrier, as Standard Webhooks 1.0 has it. Repeating it is harmless."""
    return answer(await inbound.carrier(request.headers, await request.body()))
