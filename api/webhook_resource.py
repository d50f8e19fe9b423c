"""Webhook endpoints and deliveries as clients see them."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from contracts.webhooks import (
    DeliveryStatus,
    DisabledReason,
    EndpointStatus,
    WebhookDelivery,
    WebhookEndpoint,
)

_ID = "whe_01K5X7M2N4R6W8Y0C3ZGVBHQ8S"
_URL = f"/v1/webhook-endpoints/{_ID}"
_ENDPOINT: dict[str, Any] = {
    "id": _ID,
    "owner": "customer-1",
    "url": "https://example.com/hooks/followthrough",
    "event_types": ["order.*", "account.confirmed"],
    "description": "our warehouse",
    "status": "active",
    "disabled_reason": None,
    "created_at": "2026-03-01T12:00:00Z",
    "updated_at": "2026-03-01T12:00:00Z",
    "links": {"self": _URL, "deliveries": f"{_URL}/deliveries"},
}
_DELIVERY: dict[str, Any] = {
    "id": "whd_01K5X7M2N4R6W8Y0C3ZGVBHQ8S",
    "webhook_id": "msg_01K5X7M2N4R6W8Y0C3ZGVBHQ8S",
    "event_type": "order.completed",
    "status": "succeeded",
    "attempts": 1,
    "response_status": 200,
    "duration_ms": 42,
    "error": None,
    "created_at": "2026-03-01T12:00:00Z",
    "updated_at": "2026-03-01T12:00:01Z",
}


class EndpointLinks(BaseModel, frozen=True):
    """Where to go from here."""

    self: str
    deliveries: str


class EndpointResource(BaseModel):
    """Where webhooks are sent. The secret that they are signed with is never shown again."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_ENDPOINT]})

    id: str
    owner: str | None = Field(default=None, description="the token subject that made it; null for the system's own")
    url: str
    event_types: tuple[str, ...]
    description: str | None = None
    status: EndpointStatus
    disabled_reason: DisabledReason | None = None
    created_at: datetime
    updated_at: datetime
    links: EndpointLinks

    @classmethod
    def of(cls, endpoint: WebhookEndpoint) -> Self:
        return cls.model_validate(_shown(endpoint))


class EndpointWithSecret(EndpointResource):
    """An endpoint with the secret that its webhooks are signed with from now on, which is shown here alone."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={"examples": [_ENDPOINT | {"secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDazfgh2="}]},
    )

    secret: str = Field(description="whsec_ and base64: Standard Webhooks 1.0")

    @classmethod
    def with_secret(cls, endpoint: WebhookEndpoint, secret: str) -> Self:
        return cls.model_validate(_shown(endpoint) | {"secret": secret})


class EndpointList(BaseModel, frozen=True):
    """A page of endpoints, newest first."""

    items: tuple[EndpointResource, ...]
    next_cursor: str | None


class DeliveryResource(BaseModel):
    """A message to an endpoint. Response, duration and error are those of its last attempt."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_DELIVERY]})

    id: str
    webhook_id: str = Field(description="the same for every copy of a message: what receivers tell repeats by")
    event_type: str
    status: DeliveryStatus
    attempts: int
    response_status: int | None = None
    duration_ms: int | None = None
    error: str | None = None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, delivery: WebhookDelivery) -> Self:
        return cls.model_validate(delivery.model_dump(exclude={"endpoint_id"}))


class DeliveryList(BaseModel, frozen=True):
    """A page of deliveries, newest first."""

    items: tuple[DeliveryResource, ...]
    next_cursor: str | None


def _shown(endpoint: WebhookEndpoint) -> dict[str, Any]:
    url = f"/v1/webhook-endpoints/{endpoint.id}"
    return endpoint.model_dump() | {"links": EndpointLinks(self=url, deliveries=f"{url}/deliveries")}
