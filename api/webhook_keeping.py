"""Keeps webhook endpoints for their owners. Postgres is all it takes; what is to be sent, the outbox has done."""

import asyncio
from datetime import UTC, datetime
from typing import TypeVar

from structlog.contextvars import bind_contextvars

from api.auth import Principal
from api.cursors import next_cursor, position_of
from api.errors import NotFound, TooManyEndpoints, UrlNotAllowed
from api.outages import asking_postgres
from api.webhook_bodies import EndpointBody, EndpointChangesBody
from api.webhook_resource import (
    DeliveryList,
    DeliveryResource,
    EndpointList,
    EndpointResource,
    EndpointWithSecret,
)
from contracts.audit import Act
from contracts.webhooks import WebhookDelivery, WebhookEndpoint, WebhookEvent, WebhookEventType
from database.paging import Position
from database.webhook_deliveries import DeliveryRepository
from database.webhook_endpoints import EndpointRepository
from database.webhook_endpoints import TooManyEndpoints as HasTooMany
from providers.webhook_signing import new_secret
from providers.webhook_urls import UrlNotAllowed as NotAllowed
from providers.webhook_urls import WebhookUrlPolicy

RESOLVE_WITHIN_S = 2.0

Found = TypeVar("Found")


class WebhookKeeper:
    """Makes, shows and changes endpoints, and has messages sent to them.

    Every method raises Unreachable, and those that take an endpoint's id NotFound, also for somebody else's. What an
    operator does to the system's or somebody else's is in the audit log (`act`).
    """

    def __init__(self, endpoints: EndpointRepository, deliveries: DeliveryRepository, urls: WebhookUrlPolicy) -> None:
        self._endpoints = endpoints
        self._deliveries = deliveries
        self._urls = urls

    async def create(self, caller: Principal, body: EndpointBody, act: Act) -> EndpointWithSecret:
        """Raises UrlNotAllowed or TooManyEndpoints. What an operator makes is the system's, and hears of everybody."""
        await self._check(body.url)
        secret = new_secret()
        try:
            async with asking_postgres():
                endpoint = await self._endpoints.create(
                    owner=None if caller.is_operator else caller.subject,
                    url=body.url,
                    event_types=body.event_types,
                    description=body.description,
                    secret=secret,
                    act=act if caller.is_operator else None,
                )
        except HasTooMany:
            raise TooManyEndpoints("Delete one that is not needed any more.") from None
        return EndpointWithSecret.with_secret(endpoint, secret)

    async def list(self, caller: Principal, *, cursor: str | None, limit: int) -> EndpointList:
        """A page of the caller's endpoints, or everybody's for an operator. Raises InvalidCursor."""
        after = position_of(cursor)
        async with asking_postgres():
            found = await self._endpoints.list(
                owner=None if caller.is_operator else caller.subject,
                of_everybody=caller.is_operator,
                after=after,
                limit=limit + 1,
            )
        return EndpointList(
            items=tuple(map(EndpointResource.of, found[:limit])), next_cursor=next_cursor(found, limit, _place_of)
        )

    async def get(self, caller: Principal, endpoint_id: str) -> EndpointResource:
        return EndpointResource.of(await self._known(caller, endpoint_id))

    async def change(
        self, caller: Principal, endpoint_id: str, body: EndpointChangesBody, act: Act
    ) -> EndpointResource:
        """Raises UrlNotAllowed."""
        known = await self._known(caller, endpoint_id)
        if not body.changes:
            return EndpointResource.of(known)
        if body.url is not None:
            await self._check(body.url)
        async with asking_postgres():
            changed = await self._endpoints.change(endpoint_id, body.changes, _of_an_operator(caller, known, act))
            return EndpointResource.of(_there(changed))

    async def delete(self, caller: Principal, endpoint_id: str, act: Act) -> None:
        known = await self._known(caller, endpoint_id)
        async with asking_postgres():
            await self._endpoints.delete(endpoint_id, _of_an_operator(caller, known, act))

    async def rotate_secret(self, caller: Principal, endpoint_id: str, act: Act) -> EndpointWithSecret:
        known = await self._known(caller, endpoint_id)
        secret = new_secret()
        async with asking_postgres():
            rotated = await self._endpoints.rotate(endpoint_id, secret, _of_an_operator(caller, known, act))
        return EndpointWithSecret.with_secret(_there(rotated), secret)

    async def test(self, caller: Principal, endpoint_id: str, act: Act) -> DeliveryResource:
        """Have a message sent that says nothing but what the endpoint is."""
        known = await self._known(caller, endpoint_id)
        event = WebhookEvent(
            type=WebhookEventType.TEST, id=known.id, status=known.status, at=datetime.now(UTC), owner=known.owner
        )
        async with asking_postgres():
            sent = await self._deliveries.send(endpoint_id, event, _of_an_operator(caller, known, act))
            return DeliveryResource.of(_there(sent))

    async def deliveries(self, caller: Principal, endpoint_id: str, *, cursor: str | None, limit: int) -> DeliveryList:
        """A page of an endpoint's deliveries. Raises InvalidCursor."""
        after = position_of(cursor)
        await self._known(caller, endpoint_id)
        async with asking_postgres():
            found = await self._deliveries.list(endpoint_id, after=after, limit=limit + 1)
        return DeliveryList(
            items=tuple(map(DeliveryResource.of, found[:limit])), next_cursor=next_cursor(found, limit, _place_of)
        )

    async def delivery(self, caller: Principal, delivery_id: str) -> WebhookDelivery:
        """A delivery, whichever endpoint it was to. Raises NotFound."""
        async with asking_postgres():
            found = _there(await self._deliveries.find(delivery_id))
        await self._known(caller, found.endpoint_id)
        return found

    async def redeliver(self, caller: Principal, endpoint_id: str, delivery_id: str, act: Act) -> DeliveryResource:
        """Have a message sent once more, under the webhook-id it had. Raises NotFound for an unknown delivery, too."""
        known = await self._known(caller, endpoint_id)
        async with asking_postgres():
            again = await self._deliveries.redeliver(endpoint_id, delivery_id, _of_an_operator(caller, known, act))
            return DeliveryResource.of(_there(again))

    async def _known(self, caller: Principal, endpoint_id: str) -> WebhookEndpoint:
        bind_contextvars(endpoint_id=endpoint_id)
        async with asking_postgres():
            endpoint = _there(await self._endpoints.find(endpoint_id))
        if not caller.is_operator and endpoint.owner != caller.subject:
            raise NotFound
        return endpoint

    async def _check(self, url: str) -> None:
        """Raises UrlNotAllowed where it can be seen now. A name that nobody knows yet is left to the attempts."""
        try:
            async with asyncio.timeout(RESOLVE_WITHIN_S):
                await self._urls.resolve(url)
        except NotAllowed as refused:
            raise UrlNotAllowed(f"The URL is not allowed: {refused}.") from None
        except OSError:
            return


def _of_an_operator(caller: Principal, known: WebhookEndpoint, act: Act) -> Act | None:
    return act if caller.acts_for(known.owner) else None


def _there(found: Found | None) -> Found:
    if found is None:
        raise NotFound
    return found


def _place_of(item: WebhookEndpoint | WebhookDelivery) -> Position:
    return Position(item.created_at, item.id)
