"""The carrier's webhooks, signed as Standard Webhooks 1.0 has it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from standardwebhooks import Webhook

from sandbox.ledger import Ledger, Shipment
from sandbox.waiting import Waiting

TIMEOUT_S = 5.0
# Seconds between attempts. Whoever is away for longer has to ask.
PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True, slots=True)
class Event:
    """A step of a shipment; `id` is the same for all attempts and copies."""

    id: str
    step: str
    occurred_at: str
    shipment: Shipment

    def body(self) -> str:
        shipment = self.shipment
        about = {"shipment_id": shipment.id, "order_id": shipment.order_id, "reference": shipment.reference}
        return json.dumps({"type": f"shipment.{self.step}", "timestamp": self.occurred_at, "data": about})


class CarrierWebhooks:
    """Tells one receiver where shipments are. Each attempt is noted in the ledger."""

    def __init__(self, ledger: Ledger, waiting: Waiting, url: str, secret: str) -> None:
        """`secret` is "whsec_" and base64."""
        self._ledger = ledger
        self._waiting = waiting
        self._url = url
        self._signer = Webhook(secret)
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S)

    async def tell(self, event: Event) -> None:
        """Send an event until it is received, there were enough attempts, or the process stops."""
        body = event.body()
        for pause_s in PAUSES_S:
            if await self._is_received(event.id, body) or await self._waiting.is_stopping_within(pause_s):
                return
        await self._is_received(event.id, body)

    async def _is_received(self, event_id: str, body: str) -> bool:
        at = datetime.now(UTC)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": self._signer.sign(event_id, at, body),
        }
        try:
            response = await self._client.post(self._url, content=body, headers=headers)
        except httpx.TransportError:
            response = None
        with self._ledger.transaction():
            self._ledger.note_answer(event_id, response.status_code if response is not None else None)
        return response is not None and response.is_success
