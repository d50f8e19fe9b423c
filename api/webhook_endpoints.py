"""/v1/webhook-endpoints: where we tell of events, what was delivered there, and delivering it again."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.auth import Scope
from api.bodies import AsideBody, note_of
from api.dependencies import Acting, Caller, DeliveryIdInPath, EndpointIdInPath, NoteInQuery, Webhooks
from api.errors import InvalidCursor, NotFound, TooManyEndpoints, UrlNotAllowed
from api.responses import answer
from api.routing import GuardedRoute, problems, requires
from api.webhook_bodies import EndpointBody, EndpointChangesBody
from api.webhook_resource import (
    DeliveryList,
    DeliveryResource,
    EndpointList,
    EndpointResource,
    EndpointWithSecret,
)

router = APIRouter(prefix="/v1/webhook-endpoints", tags=["webhooks"], route_class=GuardedRoute)

# Operators keep the system's own endpoints, and repair everybody's.
keepers = requires(Scope.WEBHOOKS_WRITE, Scope.OPERATOR)

CREATED: dict[int | str, dict[str, Any]] = {
    201: {
        "description": "Made, and active; the secret is shown here alone",
        "headers": {"Location": {"schema": {"type": "string"}, "description": "the endpoint's URL"}},
    },
}


class PageQuery(BaseModel, extra="forbid"):
    """How to page a list."""

    cursor: str | None = Field(default=None, max_length=512, description="`next_cursor` of the page before")
    limit: int = Field(default=50, ge=1, le=100)


Page = Annotated[PageQuery, Query()]


@router.post(
    "",
    status_code=201,
    response_model=EndpointWithSecret,
    responses=CREATED | problems(UrlNotAllowed, TooManyEndpoints),
)
@keepers
async def create_endpoint(body: EndpointBody, caller: Caller, acting: Acting, webhooks: Webhooks) -> Response:
    """Have events told to a URL of yours. An operator's endpoint is told of everybody's events."""
    endpoint = await webhooks.create(caller, body, acting.because(body.note))
    return answer(endpoint, 201, {"Location": endpoint.links.self})


@router.get("", response_model=EndpointList, responses=problems(InvalidCursor))
@keepers
async def list_endpoints(page: Page, caller: Caller, webhooks: Webhooks) -> Response:
    """List endpoints, newest first: the caller's own, or everybody's for an operator."""
    return answer(await webhooks.list(caller, cursor=page.cursor, limit=page.limit))


@router.get("/{endpoint_id}", response_model=EndpointResource, responses=problems(NotFound))
@keepers
async def get_endpoint(endpoint_id: EndpointIdInPath, caller: Caller, webhooks: Webhooks) -> Response:
    """Read an endpoint."""
    return answer(await webhooks.get(caller, endpoint_id))


@router.patch("/{endpoint_id}", response_model=EndpointResource, responses=problems(NotFound, UrlNotAllowed))
@keepers
async def change_endpoint(
    endpoint_id: EndpointIdInPath, body: EndpointChangesBody, caller: Caller, acting: Acting, webhooks: Webhooks
) -> Response:
    """Change an endpoint; what is left out stays. One that was disabled is made active in this way, too."""
    return answer(await webhooks.change(caller, endpoint_id, body, acting.because(body.note)))


@router.delete("/{endpoint_id}", status_code=204, response_class=Response, responses=problems(NotFound))
@keepers
async def delete_endpoint(
    endpoint_id: EndpointIdInPath, caller: Caller, acting: Acting, webhooks: Webhooks, note: NoteInQuery = None
) -> Response:
    """Delete an endpoint and the record of its deliveries. What was not delivered yet is not delivered any more."""
    await webhooks.delete(caller, endpoint_id, acting.because(note))
    return Response(status_code=204)


@router.post("/{endpoint_id}/rotate-secret", response_model=EndpointWithSecret, responses=problems(NotFound))
@keepers
async def rotate_secret(
    endpoint_id: EndpointIdInPath, caller: Caller, acting: Acting, webhooks: Webhooks, body: AsideBody | None = None
) -> Response:
    """Get a new secret. For 24 hours every webhook is signed with the old one, too."""
    return answer(await webhooks.rotate_secret(caller, endpoint_id, acting.because(note_of(body))))


@router.post("/{endpoint_id}/test", status_code=202, response_model=DeliveryResource, responses=problems(NotFound))
@keepers
async def test_endpoint(
    endpoint_id: EndpointIdInPath,
    caller: Caller,
    acting: Acting,
    webhooks: Webhooks,
    body: AsideBody | None = None,  # noqa: PT028
) -> Response:
    """Have a `webhook.test` event sent, whatever the endpoint subscribes to."""
    return answer(await webhooks.test(caller, endpoint_id, acting.because(note_of(body))), 202)


@router.get(
    "/{endpoint_id}/deliveries",
    response_model=DeliveryList,
    responses=problems(NotFound, InvalidCursor),
)
@keepers
async def list_deliveries(endpoint_id: EndpointIdInPath, page: Page, caller: Caller, webhooks: Webhooks) -> Response:
    """List what was sent, or is to be sent, to an endpoint, newest first."""
    return answer(await webhooks.deliveries(caller, endpoint_id, cursor=page.cursor, limit=page.limit))


@router.post(
    "/{endpoint_id}/deliveries/{delivery_id}/redeliver",
    status_code=202,
    response_model=DeliveryResource,
    responses=problems(NotFound),
)
@keepers
async def redeliver(
    endpoint_id: EndpointIdInPath,
    delivery_id: DeliveryIdInPath,
    caller: Caller,
    acting: Acting,
    webhooks: Webhooks,
    body: AsideBody | None = None,
) -> Response:
    """Have the very same message sent again, with the same webhook-id, as a delivery of its own."""
    act = acting.because(note_of(body))
    return answer(await webhooks.redeliver(caller, endpoint_id, delivery_id, act), 202)
