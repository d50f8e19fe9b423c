"""The carrier: a small JSON API. It keeps an idempotency key for as long as the shipment exists."""

from typing import Any

import httpx
from pydantic import ValidationError

from contracts.providers import CancelShipmentRequest, ProviderFailed, ProviderRefused, ProviderSilent, ShipRequest
from contracts.shipments import CarrierRecord
from contracts.steps import Step
from providers.http import send

NAME = "the carrier"
# What its statuses 409 and 422 say no to for good; anything else that it does not do is trouble of ours with it.
REFUSALS = ("address_undeliverable", "already_dispatched")


class Carrier:
    """Books shipments, cancels them, and tells where they are."""

    def __init__(self, client: httpx.AsyncClient, *, timeout_s: float) -> None:
        """`client` has the base URL and the API key; the carrier has `timeout_s` for an answer."""
        self._client = client
        self._timeout_s = timeout_s

    async def ship(self, request: ShipRequest, step: Step, *, timeout_s: float | None = None) -> str:
        """Hand the parcels over and return the shipment's id.

        Raises ProviderRefused when the carrier won't take them, ProviderFailed, ProviderSilent.
        """
        shipment = await self._post(
            "v1/shipments",
            step=step,
            timeout_s=timeout_s,
            body={
                "order_id": request.order_id,
                **({"reference": request.fulfilment_id} if step.names_fulfilment else {}),
                "ship_to": request.ship_to.model_dump(mode="json", exclude_none=True),
                "parcels": [parcel.model_dump() for parcel in request.parcels],
            },
        )
        return str(shipment["id"])

    async def cancel_shipment(
        self, request: CancelShipmentRequest, step: Step, *, timeout_s: float | None = None
    ) -> str:
        """Call the shipment back and return its id. Raises ProviderRefused when it is on its way already."""
        path = f"v1/shipments/{request.shipment_id}/cancel"
        shipment = await self._post(path, step=step, timeout_s=timeout_s, body={})
        return str(shipment["id"])

    async def track(self, carrier_id: str) -> CarrierRecord:
        """What the carrier has on record of a shipment.

        Raises ProviderRefused for one that it does not know, ProviderFailed, ProviderSilent.
        """
        request = self._client.build_request("GET", f"v1/shipments/{carrier_id}")
        response = await send(self._client, request, provider=NAME, timeout_s=self._timeout_s)
        if response.status_code == httpx.codes.NOT_FOUND:
            raise ProviderRefused(f"{NAME} does not know {carrier_id}")
        if not response.is_success:
            raise ProviderFailed(f"{carrier_id}: {NAME} answered {response.status_code}")
        try:
            return CarrierRecord.model_validate_json(response.content)
        except ValidationError as error:
            raise ProviderFailed(f"{carrier_id}: {NAME} answered what is no shipment") from error

    async def _post(self, path: str, *, step: Step, body: dict[str, Any], timeout_s: float | None) -> dict[str, Any]:
        request = self._client.build_request("POST", path, json=body, headers={"Idempotency-Key": step.key})
        response = await send(self._client, request, provider=NAME, timeout_s=timeout_s or self._timeout_s)
        if response.is_success:
            return dict(response.json())
        if response.is_server_error:
            raise ProviderSilent(f"{path} answered {response.status_code}")
        error = response.json().get("error", {})
        message = error.get("message", f"{path} answered {response.status_code}")
        if response.status_code in (409, 422) and error.get("code") in REFUSALS:
            raise ProviderRefused(message)
        # Ours to mend, not the customer's to bear: retried, and then shown to an operator.
        raise ProviderFailed(message)
