"""/console/orders: orders as operators see them, and what they do about them."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.auth import Scope
from api.console_deeds import ORDER_DEEDS, OrderDeed, Question
from api.console_page import page, rendered
from api.dead_letter_keeping import DeadLetterKeeper
from api.dependencies import Acting, Caller, Commands, Feed, Letters, OrderIdInPath, Reader, UiLinks
from api.order_reading import OrderReader
from api.order_resource import OrderResource
from api.order_standing import deeds_for, what_is_left, why_parked
from api.page_routing import Form, PageRoute, SignedIn
from api.page_streams import LastShown, OrderPageResponse
from api.routing import requires_session
from api.sessions import CONSOLE
from api.temporal_links import TemporalLinks
from contracts.audit import Act
from contracts.orders import FINAL_STATUSES, Order, OrderStatus, TimelineEntry
from database.orders import OrderFilter

SHOWN = 25
PATH = f"{CONSOLE}/orders"


router = APIRouter(prefix=PATH, route_class=PageRoute, include_in_schema=False)


@router.get("")
@requires_session(Scope.OPERATOR)
async def list_orders(
    session: SignedIn,
    caller: Caller,
    reader: Reader,
    status: OrderStatus | None = None,
    cursor: Annotated[str | None, Query(max_length=512)] = None,
) -> Response:
    """Everybody's orders, newest first."""
    found = await reader.list(caller, OrderFilter(status=status), cursor=cursor, limit=SHOWN)
    return page("orders.html", session, found=found, chosen=status, is_first=cursor is None)


@router.get("/{order_id}")
@requires_session(Scope.OPERATOR)
async def show_order(
    session: SignedIn, order_id: OrderIdInPath, caller: Caller, reader: Reader, letters: Letters, links: UiLinks
) -> Response:
    """An order, kept up to date by the stream of its events."""
    order = (await reader.known(caller, order_id)).order
    return page("order.html", session, **await _facts(order, reader, letters, links))


@router.get("/{order_id}/events")
@requires_session(Scope.OPERATOR)
async def follow_order(
    session: SignedIn,
    order_id: OrderIdInPath,
    caller: Caller,
    reader: Reader,
    feed: Feed,
    letters: Letters,
    links: UiLinks,
    last_shown: LastShown,
) -> Response:
    """The stream that the order's page follows, from the last entry it shows."""
    await reader.known(caller, order_id)

    async def write(order: Order, news: list[TimelineEntry]) -> str:
        return rendered("order_event.html", session, news=news, **await _facts(order, reader, letters, links))

    return OrderPageResponse(feed, reader, session, caller, order_id, last_shown, write)


@router.get("/{order_id}/{deed}")
@requires_session(Scope.OPERATOR)
async def ask_about_order(
    session: SignedIn, order_id: OrderIdInPath, deed: OrderDeed, caller: Caller, reader: Reader
) -> Response:
    await reader.known(caller, order_id)
    return _question(order_id, deed).ask(session)


@router.post("/{order_id}/{deed}")
@requires_session(Scope.OPERATOR)
async def treat_order(
    session: SignedIn,
    order_id: OrderIdInPath,
    deed: OrderDeed,
    caller: Caller,
    acting: Acting,
    commands: Commands,
    form: Form,
) -> Response:
    async def do(act: Act) -> None:
        match deed:
            case OrderDeed.APPROVE | OrderDeed.REJECT:
                await commands.decide(caller, order_id, approved=deed is OrderDeed.APPROVE, act=act)
            case OrderDeed.RETRY:
                await commands.retry(caller, order_id, act)
            case OrderDeed.RESOLVE:
                await commands.resolve(caller, order_id, status=OrderStatus(form["status"]), act=act)
            case OrderDeed.CANCEL:
                await commands.cancel(caller, order_id, act)

    return await _question(order_id, deed).settle(session, form, acting, do)


async def _facts(order: Order, reader: OrderReader, letters: DeadLetterKeeper, links: TemporalLinks) -> dict[str, Any]:
    """All that the page of an order shows. Raises Unreachable."""
    audit = await letters.audit(subject=order.id, actor=None, action=None, cursor=None, limit=SHOWN)
    return {
        "order": order,
        "resource": OrderResource.from_projection(order),
        "why": why_parked(order),
        "left": what_is_left(order),
        "deeds": [(deed, ORDER_DEEDS[deed]) for deed in deeds_for(order)],
        "pending": () if order.status.is_final else await reader.pending_calls(order.id),
        "web_ui": links.of_order(order.id),
        "audit": audit,
    }


def _question(order_id: str, deed: OrderDeed) -> Question:
    statuses = tuple(sorted(FINAL_STATUSES)) if deed is OrderDeed.RESOLVE else ()
    where = f"{PATH}/{order_id}"
    return Question(ORDER_DEEDS[deed], order_id, action=f"{where}/{deed}", back=where, statuses=statuses)
