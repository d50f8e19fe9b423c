"""Events as the providers send them: the payment provider's signed by Stripe's published algorithm, the carrier's by
the public library of Standard Webhooks."""

import hashlib
import hmac
import itertools
import json
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from standardwebhooks import Webhook

Json = dict[str, Any]

_session = uuid4().hex[:8]
_numbers = itertools.count(1)


def new_id(prefix: str) -> str:
    """An id that no other test uses."""
    return f"{prefix}_{_session}{next(_numbers)}"


def payment_event(kind: str, about: Json, event_id: str | None = None) -> Json:
    """A Stripe event: https://docs.stripe.com/api/events/object."""
    return {
        "id": event_id or new_id("evt"),
        "object": "event",
        "type": kind,
        "created": int(time.time()),
        "livemode": False,
        "data": {"object": about},
    }


def dispute(payment_intent: str | None = "pi_1", **changes: Any) -> Json:
    """A Stripe dispute: https://docs.stripe.com/api/disputes/object."""
    return {
        "id": new_id("du"),
        "object": "dispute",
        "amount": 1_999,
        "currency": "usd",
        "charge": "ch_1",
        "payment_intent": payment_intent,
        "reason": "fraudulent",
        "status": "needs_response",
        "metadata": {},
        **changes,
    }


def shipment_event(
    step: str = "dispatched",
    *,
    carrier_id: str = "shp_1",
    order_id: str = "ord_1",
    reference: str = "ord_1-1",
    at: datetime | None = None,
) -> Json:
    """What the carrier tells of a shipment, in the payload of Standard Webhooks."""
    return {
        "type": f"shipment.{step}",
        "timestamp": (at or datetime.now(UTC)).isoformat(),
        "data": {"shipment_id": carrier_id, "order_id": order_id, "reference": reference},
    }


def stripe_headers(secret: str, body: bytes, *, at: float | None = None) -> dict[str, str]:
    timestamp = int(at if at is not None else time.time())
    signed = str(timestamp).encode() + b"." + body
    signature = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={timestamp},v1={signature}"}


def standard_headers(secret: str, message_id: str, body: bytes, *, at: float | None = None) -> dict[str, str]:
    timestamp = int(at if at is not None else time.time())
    signature = Webhook(secret).sign(message_id, datetime.fromtimestamp(timestamp, UTC), body.decode())
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": signature}


def encoded(event: Json) -> bytes:
    return json.dumps(event).encode()
