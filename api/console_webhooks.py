"""/console/webhooks: where webhooks are sent, what became of each, and sending one again."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.auth import Scope
from api.console_deeds import ENDPOINT_DEEDS, REDELIVER, Question
from api.console_page import page
from api.dependencies import Acting, Caller, DeliveryIdInPath, EndpointIdInPath, Letters, Webhooks
from api.page_routing import Form, PageRoute, SignedIn
from api.routing import requires_session
from api.sessions import CONSOLE
from contracts.audit import Act
from contracts.webhooks import DisabledReason

SHOWN = 25

Cursor = Annotated[str | None, Query(max_length=512)]

router = APIRouter(prefix=CONSOLE, route_class=PageRoute, include_in_schema=False)


@router.get("/webhooks")
@requires_session(Scope.OPERATOR)
async def list_endpoints(session: SignedIn, caller: Caller, webhooks: Webhooks, cursor: Cursor = None) -> Response:
    """Everybody's endpoints, newest first."""
    found = await webhooks.list(caller, cursor=cursor, limit=SHOWN)
    return page("webhooks.html", session, found=found, is_first=cursor is None)


@router.get("/webhooks/{endpoint_id}")
@requires_session(Scope.OPERATOR)
async def show_endpoint(
    session: SignedIn,
    endpoint_id: EndpointIdInPath,
    caller: Caller,
    webhooks: Webhooks,
    letters: Letters,
    cursor: Cursor = None,
) -> Response:
    """An endpoint, and what was sent to it, newest first."""
    endpoint = await webhooks.get(caller, endpoint_id)
    deliveries = await webhooks.deliveries(caller, endpoint_id, cursor=cursor, limit=SHOWN)
    audit = await letters.audit(subject=endpoint_id, actor=None, action=None, cursor=None, limit=SHOWN)
    was_disabled_by_us = endpoint.disabled_reason in (DisabledReason.GONE, DisabledReason.FAILING)
    return page(
        "webhook.html",
        session,
        endpoint=endpoint,
        found=deliveries,
        is_first=cursor is None,
        deeds=ENDPOINT_DEEDS if was_disabled_by_us else {},
        audit=audit,
    )


@router.get("/deliveries/{delivery_id}")
@requires_session(Scope.OPERATOR)
async def show_delivery(
    session: SignedIn, delivery_id: DeliveryIdInPath, caller: Caller, webhooks: Webhooks, letters: Letters
) -> Response:
    """One message to one endpoint."""
    delivery = await webhooks.delivery(caller, delivery_id)
    audit = await letters.audit_of_delivery(delivery.endpoint_id, delivery_id, limit=SHOWN)
    return page("delivery.html", session, delivery=delivery, redeliver=REDELIVER, audit=audit)


@router.get("/deliveries/{delivery_id}/redeliver")
@requires_session(Scope.OPERATOR)
async def ask_to_redeliver(
    session: SignedIn, delivery_id: DeliveryIdInPath, caller: Caller, webhooks: Webhooks
) -> Response:
    delivery = await webhooks.delivery(caller, delivery_id)
    return _question(delivery_id, delivery.endpoint_id).ask(session)


@router.post("/deliveries/{delivery_id}/redeliver")
@requires_session(Scope.OPERATOR)
async def redeliver(
    session: SignedIn, delivery_id: DeliveryIdInPath, caller: Caller, acting: Acting, webhooks: Webhooks, form: Form
) -> Response:
    endpoint_id = (await webhooks.delivery(caller, delivery_id)).endpoint_id

    async def do(act: Act) -> None:
        await webhooks.redeliver(caller, endpoint_id, delivery_id, act)

    return await _question(delivery_id, endpoint_id).settle(session, form, acting, do)


def _question(delivery_id: str, endpoint_id: str) -> Question:
    action = f"{CONSOLE}/deliveries/{delivery_id}/redeliver"
    return Question(REDELIVER, delivery_id, action=action, back=f"{CONSOLE}/webhooks/{endpoint_id}")
