"""/v1/orders/{id}/events and /v1/orders/{id}/live: watch what happens to an order, as it happens."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, WebSocket
from starlette.responses import Response

from api.auth import Scope
from api.dependencies import Caller, Feed, OrderIdInPath, Reader
from api.errors import FieldError, InvalidRequest, LastEventIdInvalid, NotFound
from api.event_streams import events_of
from api.order_feed import ends_by
from api.order_reading import KnownOrder
from api.order_streams import TimelineResponse, tell_over
from api.routing import GuardedRoute, guarded_websocket, problems, requires
from contracts.orders import TimelineEntry

router = APIRouter(prefix="/v1/orders", tags=["orders"], route_class=GuardedRoute)

HEADER = "Last-Event-ID"
PARAMETER = "after"
SEQUENCE = re.compile(r"0|[1-9][0-9]{0,8}")
EXPECTED = "must be the sequence of an entry in the order's timeline, or 0"

LAST_EVENT_ID: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "The id of the last event that was received: the next ones follow. Browsers send it by themselves.",
    "schema": {"type": "string", "pattern": f"^({SEQUENCE.pattern})$"},
    "example": "3",
}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: their ids are sequences, their data is an entry of the timeline as JSON",
        "content": events_of(
            TimelineEntry,
            event_id="1",
            data='{"sequence":1,"at":"2026-03-01T12:00:00Z","type":"accepted","detail":"39.98 usd"}',
        ),
    },
    204: {"description": "The final event was received before: there is nothing to reconnect for"},
}


async def _last_event_id(request: Request) -> int:
    found = request.headers.getlist(HEADER) or ["0"]
    if len(found) > 1 or not SEQUENCE.fullmatch(found[0]):
        raise _bad_header()
    return int(found[0])


async def _after(websocket: WebSocket) -> int:
    found = websocket.query_params.getlist(PARAMETER) or ["0"]
    if len(found) > 1 or not SEQUENCE.fullmatch(found[0]):
        raise _bad_parameter()
    return int(found[0])


@router.get(
    "/{order_id}/events",
    response_class=Response,
    openapi_extra={"parameters": [LAST_EVENT_ID]},
    responses=STREAM | problems(NotFound, LastEventIdInvalid),
)
@requires(Scope.ORDERS_READ)
async def watch_order(
    order_id: OrderIdInPath, after: Annotated[int, Depends(_last_event_id)], caller: Caller, reader: Reader, feed: Feed
) -> Response:
    """Watch an order: what is in its timeline now, and then what comes, until its final event.

    A comment comes after 15 s without an event. Reconnect with the last event's id to go on with the next one.
    """
    known = await reader.known(caller, order_id)
    if _is_beyond(after, known):
        raise _bad_header()
    if ends_by(known.order.timeline, after):
        return Response(status_code=204)
    return TimelineResponse(feed, order_id, after, caller.expires_at)


@guarded_websocket(router, "/{order_id}/live")
@requires(Scope.ORDERS_READ)
async def watch_order_live(
    websocket: WebSocket,
    order_id: OrderIdInPath,
    after: Annotated[int, Depends(_after)],
    caller: Caller,
    reader: Reader,
    feed: Feed,
) -> None:
    """Watch an order over a WebSocket: the same entries as its server-sent events, each a JSON text."""
    if _is_beyond(after, await reader.known(caller, order_id)):
        raise _bad_parameter()
    await tell_over(websocket, feed, order_id, after, caller.expires_at)


def _is_beyond(after: int, known: KnownOrder) -> bool:
    """Whether no entry of the order has this sequence. While our books are away it is believed."""
    return known.outage is None and after > known.order.timeline[-1].sequence


def _bad_header() -> LastEventIdInvalid:
    return LastEventIdInvalid(f"{HEADER} {EXPECTED}.")


def _bad_parameter() -> InvalidRequest:
    return InvalidRequest("1 field is not valid", errors=[FieldError(field=PARAMETER, message=EXPECTED)])
