"""/shop: where customers order, and see what becomes of it. The pages call what the API's routes call."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Query
from starlette.responses import RedirectResponse, Response

from api.auth import Scope
from api.dependencies import KEY, CatalogueInMemory, Commands, Feed, OrderIdInPath, Placer, Reader, RequestId
from api.errors import (
    IdempotencyKeyReused,
    InvalidRequest,
    MixedCurrencies,
    NoActionRequired,
    Problem,
    TemporarilyUnavailable,
    TooLate,
    TotalTooLarge,
    UnknownSku,
)
from api.order_resource import OrderResource
from api.outages import Unreachable
from api.page_routing import Customer, Form, PageRoute, SignedIn
from api.page_streams import LastShown, OrderPageResponse
from api.routing import requires_session
from api.sessions import PAGES, Session
from api.shop_forms import InvalidForm, order_in, quantities_in
from api.shop_page import page, rendered
from contracts.catalogue import CatalogueItem
from contracts.customers import CustomerAction
from contracts.ids import order_id_for
from contracts.money import Money
from contracts.orders import Order, TimelineEntry
from database.orders import OrderFilter

ORDERS_SHOWN = 20
NOT_SURE = (
    "We could not see whether your order was placed. Place it again just as it is: it will be placed once, "
    "and paid once, however often you try."
)


router = APIRouter(prefix=PAGES, route_class=PageRoute, include_in_schema=False)


@router.get("")
@requires_session(Scope.ORDERS_READ)
async def show_catalogue(session: SignedIn, catalogue: CatalogueInMemory) -> Response:
    """What is on sale, in the form that orders it."""
    return await _catalogue_page(session, catalogue, key=_new_key(), typed={})


@router.post("")
@requires_session(Scope.ORDERS_WRITE)
async def place_order(
    session: SignedIn,
    customer: Customer,
    form: Form,
    catalogue: CatalogueInMemory,
    placer: Placer,
    request_id: RequestId,
) -> Response:
    """Place the order, once for each form that was shown, however often it is sent."""
    key = form.get("key", "")
    if not KEY.fullmatch(key):
        key = _new_key()
    try:
        placed = await placer.place(customer, key, order_in(form), request_id)
    except InvalidForm as invalid:
        return await _catalogue_page(session, catalogue, key=key, typed=form, errors=invalid.errors, status=422)
    except IdempotencyKeyReused:
        earlier = order_id_for(customer.subject, key)
        return await _catalogue_page(
            session, catalogue, key=_new_key(), typed=form, earlier_order_id=earlier, status=409
        )
    except (UnknownSku, MixedCurrencies, TotalTooLarge) as problem:
        errors = {"lines": problem.detail}
        return await _catalogue_page(session, catalogue, key=key, typed=form, errors=errors, status=problem.status)
    except (Unreachable, TemporarilyUnavailable):
        return await _catalogue_page(session, catalogue, key=key, typed=form, errors={"form": NOT_SURE}, status=503)
    return RedirectResponse(_page_of(placed.order.id), 303)


@router.post("/total")
@requires_session(Scope.ORDERS_READ)
async def show_total(session: SignedIn, form: Form, catalogue: CatalogueInMemory) -> Response:
    """What the chosen goods cost, to be shown beside the form while it is filled in."""
    items = await catalogue.items()
    return page("total.html", session, totals=_totals(items, form))


@router.get("/orders")
@requires_session(Scope.ORDERS_READ)
async def list_orders(
    session: SignedIn,
    customer: Customer,
    reader: Reader,
    cursor: Annotated[str | None, Query(max_length=512)] = None,
) -> Response:
    """The customer's orders, newest first."""
    orders = await reader.list(customer, OrderFilter(), cursor=cursor, limit=ORDERS_SHOWN)
    return page("orders.html", session, orders=orders.items, next_cursor=orders.next_cursor, is_first=cursor is None)


@router.get("/orders/{order_id}")
@requires_session(Scope.ORDERS_READ)
async def show_order(session: SignedIn, order_id: OrderIdInPath, customer: Customer, reader: Reader) -> Response:
    """An order, kept up to date by the stream of its events."""
    return _order_page(session, await reader.get(customer, order_id))


@router.get("/orders/{order_id}/events")
@requires_session(Scope.ORDERS_READ)
async def follow_order(
    session: SignedIn,
    order_id: OrderIdInPath,
    customer: Customer,
    reader: Reader,
    feed: Feed,
    last_shown: LastShown,
) -> Response:
    """The stream that the order's page follows, from the last entry it shows."""
    await reader.known(customer, order_id)

    async def write(order: Order, news: list[TimelineEntry]) -> str:
        shown = OrderResource.from_projection(order)
        return rendered("order_event.html", session, order=shown, news=news, refusal=None)

    return OrderPageResponse(feed, reader, session, customer, order_id, last_shown, write)


@router.post("/orders/{order_id}/cancel")
@requires_session(Scope.ORDERS_WRITE)
async def cancel_order(
    session: SignedIn, order_id: OrderIdInPath, customer: Customer, commands: Commands, reader: Reader
) -> Response:
    """Cancel an order, or say that it is too late."""
    try:
        await commands.cancel(customer, order_id)
    except TooLate as refusal:
        return _order_page(session, await reader.get(customer, order_id), refusal=refusal)
    return RedirectResponse(_page_of(order_id), 303)


@router.post("/orders/{order_id}/customer-action")
@requires_session(Scope.ORDERS_WRITE)
async def answer_question(
    session: SignedIn, order_id: OrderIdInPath, customer: Customer, form: Form, commands: Commands, reader: Reader
) -> Response:
    """Say what to do about what is not available, or be told that nobody asks."""
    try:
        action = CustomerAction(form.get("action", ""))
    except ValueError:
        raise InvalidRequest("Choose one of the answers on the order's page.") from None
    try:
        await commands.act(customer, order_id, action)
    except NoActionRequired as refusal:
        return _order_page(session, await reader.get(customer, order_id), refusal=refusal)
    return RedirectResponse(_page_of(order_id), 303)


def _order_page(session: Session, order: OrderResource, *, refusal: Problem | None = None) -> Response:
    return page("order.html", session, status=refusal.status if refusal else 200, order=order, refusal=refusal)


async def _catalogue_page(
    session: Session,
    catalogue: CatalogueInMemory,
    *,
    key: str,
    typed: Mapping[str, str],
    errors: Mapping[str, str] | None = None,
    earlier_order_id: str | None = None,
    status: int = 200,
) -> Response:
    items = await catalogue.items()
    return page(
        "catalogue.html",
        session,
        status=status,
        items=items,
        key=key,
        typed=typed,
        errors=errors or {},
        earlier_order_id=earlier_order_id,
        totals=_totals(items, typed),
    )


def _totals(items: Iterable[CatalogueItem], typed: Mapping[str, str]) -> list[Money]:
    """What the chosen goods cost: an amount for each currency, and nothing while a quantity is not one."""
    try:
        asked = quantities_in(typed)
    except InvalidForm:
        return []
    amounts: Counter[str] = Counter()
    for item in items:
        amounts[item.price.currency] += asked.get(item.sku, 0) * item.price.amount
    return [Money(amount=amount, currency=currency) for currency, amount in sorted(amounts.items()) if amount]


def _page_of(order_id: str) -> str:
    return f"{PAGES}/orders/{order_id}"


def _new_key() -> str:
    return f"shop-{uuid4().hex}"
