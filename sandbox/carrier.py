"""The carrier: a small JSON API under /carrier/v1 that books, tracks and cancels shipments.

Errors are `{"error": {"code", "message"}}`. A key never expires: repeating it answers with the shipment as it is now.
"""

import json
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sandbox.calls import Answer, AtTheDoor, Call, now
from sandbox.faults import Behaviour, Fault, Faults, Operation, Provider
from sandbox.journeys import Journeys
from sandbox.ledger import Ledger, Shipment
from sandbox.waiting import Waiting

Text = Annotated[str, Field(min_length=1)]

# What is decided already (booked, refused, cancelled) is not decided anew.
ONLY_ON_A_DECISION = frozenset({Behaviour.DECLINE})


class CarrierError(Exception):
    """A refusal the client can read."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = Answer(status, json.dumps({"error": {"code": code, "message": message}}))


DOOR = AtTheDoor(
    broken=CarrierError(500, "internal_error", "Something went wrong on our side.").answer,
    unavailable=CarrierError(503, "unavailable", "The carrier is temporarily unavailable.").answer,
    too_many=CarrierError(429, "rate_limited", "Too many requests.").answer,
)
UNDELIVERABLE = CarrierError(422, "address_undeliverable", "We do not deliver to this address.").answer
DISPATCHED = CarrierError(409, "already_dispatched", "The parcel is on its way and cannot be stopped.").answer


class Parcel(BaseModel):
    """Units of one SKU."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sku: Text
    quantity: Annotated[int, Field(ge=1)]


class ShipmentRequest(BaseModel):
    """The body of POST /v1/shipments."""

    model_config = ConfigDict(extra="forbid", strict=True)

    order_id: Text
    reference: Text | None = None
    ship_to: Annotated[dict[str, JsonValue], Field(min_length=1)]
    parcels: Annotated[list[Parcel], Field(min_length=1)]

    def fingerprint(self) -> str:
        """Equal for bodies that say the same. The address itself is not kept."""
        return sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()


class Carrier:
    """Books a shipment once per key, and cancels it, unless a fault says otherwise."""

    def __init__(self, ledger: Ledger, faults: Faults, waiting: Waiting, journeys: Journeys) -> None:
        self.ledger = ledger
        self.faults = faults
        self.waiting = waiting
        self.journeys = journeys

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/v1/shipments", self.ship, methods=["POST"]),
            Route("/v1/shipments", self.shipments, methods=["GET"]),
            Route("/v1/shipments/{id}", self.track, methods=["GET"]),
            Route("/v1/shipments/{id}/cancel", self.cancel, methods=["POST"]),
        ]

    async def ship(self, request: Request) -> Response:
        call = Call(Provider.CARRIER, Operation.SHIP, request.headers.get("idempotency-key"))
        try:
            _require_token(request)
            if not call.key:
                raise CarrierError(400, "idempotency_key_missing", "Send an Idempotency-Key.")
            wanted = await _read(request)
            call.order_id = wanted.order_id
            known = self._under(call.key, wanted)
        except CarrierError as error:
            return self._reply(call, error.answer)
        subjects = {call.order_id, wanted.reference}
        fault = self.faults.take(Operation.SHIP, subjects, ONLY_ON_A_DECISION if known else frozenset())
        key = call.key

        def book(declined: bool) -> Answer:
            # Looked up again: while this request was made to wait, another under the same key may have come through.
            earlier = self._under(key, wanted)
            call.replayed = earlier is not None
            shipment = earlier or _new_shipment(key, wanted, "refused" if declined else "booked")
            if earlier is None:
                self.ledger.add_shipment(shipment)
                if not declined:
                    self.journeys.booked(shipment)
            return _answer(shipment, 200 if earlier else 201)

        return await self._perform(request, call, fault, book)

    async def cancel(self, request: Request) -> Response:
        call = Call(Provider.CARRIER, Operation.CANCEL_SHIPMENT, request.headers.get("idempotency-key"))
        shipment_id = request.path_params["id"]
        try:
            _require_token(request)
            shipment = self._known(shipment_id)
        except CarrierError as error:
            return self._reply(call, error.answer)
        call.order_id = shipment.order_id
        decided = shipment.status == "cancelled"
        subjects = {call.order_id, shipment.reference}
        fault = self.faults.take(Operation.CANCEL_SHIPMENT, subjects, ONLY_ON_A_DECISION if decided else frozenset())

        def cancel(declined: bool) -> Answer:
            status = self._known(shipment_id).status
            if declined or status in ("dispatched", "delivered"):
                return DISPATCHED
            call.replayed = status == "cancelled"
            self.ledger.cancel_shipment(shipment_id)
            return _answer(self._known(shipment_id), 200)

        return await self._perform(request, call, fault, cancel)

    async def track(self, request: Request) -> Response:
        call = Call(Provider.CARRIER, Operation.TRACK)
        shipment_id = request.path_params["id"]
        try:
            _require_token(request)
            call.order_id = self._known(shipment_id).order_id
        except CarrierError as error:
            return self._reply(call, error.answer)
        fault = self.faults.take(Operation.TRACK, {call.order_id}, ONLY_ON_A_DECISION)
        return await self._perform(request, call, fault, lambda _: _answer(self._known(shipment_id), 200))

    async def shipments(self, request: Request) -> Response:
        call = Call(Provider.CARRIER, "search", order_id=request.query_params.get("order_id"))
        try:
            _require_token(request)
            if not call.order_id:
                raise CarrierError(422, "invalid_request", "order_id: required in the query")
        except CarrierError as error:
            return self._reply(call, error.answer)
        items = [_resource(shipment) for shipment in self.ledger.shipments(call.order_id)]
        return self._reply(call, Answer(200, json.dumps({"items": items})))

    async def _perform(
        self, request: Request, call: Call, fault: Fault | None, effect: Callable[[bool], Answer]
    ) -> Response:
        behaviour = call.fault = fault.behaviour if fault else None
        if refusal := DOOR.answer(fault):
            return self._reply(call, refusal)
        if fault and behaviour is Behaviour.SLOW:
            await self.waiting.delay(fault.delay_s)
        silent = behaviour is Behaviour.TIMEOUT_AFTER
        with self.ledger.transaction():
            try:
                answer = effect(behaviour is Behaviour.DECLINE)
            except CarrierError as error:
                answer = error.answer
            if behaviour is Behaviour.ERROR_AFTER:
                answer = DOOR.broken
            self.ledger.log(call, None if silent else answer.status)
        if fault and silent:
            return await self.waiting.silence(request, fault.delay_s)
        return answer.response()

    def _under(self, key: str, wanted: ShipmentRequest) -> Shipment | None:
        shipment = self.ledger.shipment_under(key)
        if shipment and shipment.fingerprint != wanted.fingerprint():
            raise CarrierError(422, "idempotency_key_reused", "This key was first used with another body.")
        return shipment

    def _known(self, shipment_id: str) -> Shipment:
        shipment = self.ledger.shipment(shipment_id)
        if shipment is None:
            raise CarrierError(404, "not_found", "No such shipment.")
        return shipment

    def _reply(self, call: Call, answer: Answer) -> Response:
        """Answer a request that had no effect."""
        with self.ledger.transaction():
            self.ledger.log(call, answer.status)
        return answer.response()


def _require_token(request: Request) -> None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise CarrierError(401, "unauthorized", "Send Authorization: Bearer <token>.")


async def _read(request: Request) -> ShipmentRequest:
    try:
        return ShipmentRequest.model_validate_json(await request.body())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise CarrierError(422, "invalid_request", f"{where}: {first['msg']}") from error


def _new_shipment(key: str, wanted: ShipmentRequest, status: str) -> Shipment:
    return Shipment(
        id=f"shp_{secrets.token_hex(12)}",
        key=key,
        fingerprint=wanted.fingerprint(),
        order_id=wanted.order_id,
        reference=wanted.reference,
        status=status,
        tracking_number=f"FT{secrets.randbelow(10**12):012d}",
        parcels=json.dumps([parcel.model_dump() for parcel in wanted.parcels]),
        created_at=now(),
    )


def _answer(shipment: Shipment, status: int) -> Answer:
    return UNDELIVERABLE if shipment.status == "refused" else Answer(status, json.dumps(_resource(shipment)))


def _resource(shipment: Shipment) -> dict[str, object]:
    return {
        "id": shipment.id,
        "order_id": shipment.order_id,
        "reference": shipment.reference,
        "status": shipment.status,
        "tracking_number": shipment.tracking_number,
        "parcels": json.loads(shipment.parcels),
        "created_at": shipment.created_at,
        "dispatched_at": shipment.dispatched_at,
        "delivered_at": shipment.delivered_at,
    }
