"""/v1/orders: place, read, list and cancel."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from api.auth import Scope
from api.bodies import AsideBody, CustomerActionBody, PlaceOrderBody, ShippingAddressBody, note_of
from api.dependencies import (
    KEY_PARAMETER,
    Acting,
    Caller,
    Commands,
    IdempotencyKey,
    OrderIdInPath,
    Placer,
    Reader,
    RequestId,
)
from api.errors import (
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    InvalidCursor,
    MixedCurrencies,
    NoActionRequired,
    NotFound,
    RequestTooLarge,
    TooLate,
    TotalTooLarge,
    UnknownSku,
)
from api.order_filters import FilterQuery
from api.order_resource import OrderList, OrderResource
from api.responses import answer
from api.routing import GuardedRoute, problems, requires
from contracts.orders import Address

router = APIRouter(prefix="/v1/orders", tags=["orders"], route_class=GuardedRoute)

ACCEPTED: dict[int | str, dict[str, Any]] = {
    200: {
        "model": OrderResource,
        "description": "The order that this key had placed before",
        "headers": {"Idempotent-Replayed": {"schema": {"const": "true"}}},
    },
    202: {
        "description": "Accepted: the order is durable, and will be followed through",
        "headers": {"Location": {"schema": {"type": "string"}, "description": "the order's URL"}},
    },
}


class ListQuery(FilterQuery):
    """How to narrow and page a list."""

    cursor: str | None = Field(default=None, max_length=512, description="`next_cursor` of the page before")
    limit: int = Field(default=50, ge=1, le=100)


@router.post(
    "",
    status_code=202,
    response_model=OrderResource,
    openapi_extra={"parameters": [KEY_PARAMETER]},
    responses=ACCEPTED
    | problems(
        IdempotencyKeyMissing, IdempotencyKeyInvalid, IdempotencyKeyReused, UnknownSku, MixedCurrencies, TotalTooLarge
    ),
)
@requires(Scope.ORDERS_WRITE)
async def place_order(
    body: PlaceOrderBody, key: IdempotencyKey, caller: Caller, request_id: RequestId, placer: Placer
) -> Response:
    """Accept an order. It is durable once this answers, and repeating the request with the same key is safe."""
    placed = await placer.place(caller, key, body, request_id)
    if placed.replayed:
        return answer(placed.order, headers={"Idempotent-Replayed": "true"})
    return answer(placed.order, 202, {"Location": placed.order.links.self})


@router.get("", response_model=OrderList, responses=problems(InvalidCursor))
@requires(Scope.ORDERS_READ)
async def list_orders(query: Annotated[ListQuery, Query()], caller: Caller, reader: Reader) -> Response:
    """List orders, newest first: the caller's own, or everybody's for an operator. Filters may be combined."""
    return answer(await reader.list(caller, query.wanted, cursor=query.cursor, limit=query.limit))


@router.get("/{order_id}", response_model=OrderResource, responses=problems(NotFound))
@requires(Scope.ORDERS_READ)
async def get_order(order_id: OrderIdInPath, caller: Caller, reader: Reader) -> Response:
    """Read an order."""
    return answer(await reader.get(caller, order_id))


@router.post("/{order_id}/cancel", response_model=OrderResource, responses=problems(NotFound, TooLate, RequestTooLarge))
@requires(Scope.ORDERS_WRITE, Scope.OPERATOR)
async def cancel_order(
    order_id: OrderIdInPath, caller: Caller, acting: Acting, commands: Commands, body: AsideBody | None = None
) -> Response:
    """Cancel an order, and undo what was done for it. Cancelling a cancelled or rejected order changes nothing.

    What takes long to undo goes on after the answer; the order then is `processing` or `needs_attention`.
    """
    return answer(await commands.cancel(caller, order_id, acting.because(note_of(body))))


@router.post(
    "/{order_id}/customer-action",
    response_model=OrderResource,
    responses=problems(NotFound, NoActionRequired),
)
@requires(Scope.ORDERS_WRITE, Scope.OPERATOR)
async def act_for_customer(
    order_id: OrderIdInPath, caller: Caller, acting: Acting, commands: Commands, body: CustomerActionBody
) -> Response:
    """Say what to do with an order of which a part is not available: go on without that, or cancel."""
    return answer(await commands.act(caller, order_id, body.action, acting.because(body.note)))


@router.patch(
    "/{order_id}/shipping-address",
    response_model=OrderResource,
    responses=problems(NotFound, TooLate),
)
@requires(Scope.ORDERS_WRITE, Scope.OPERATOR)
async def change_shipping_address(
    order_id: OrderIdInPath, caller: Caller, acting: Acting, commands: Commands, body: ShippingAddressBody
) -> Response:
    """Have an order sent elsewhere, until something of it is handed to the carrier."""
    ship_to = Address(**body.model_dump(exclude={"note"}))
    return answer(await commands.change_address(caller, order_id, ship_to, acting.because(body.note)))
