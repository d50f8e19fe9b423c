"""The sandbox's HTTP face: payments and carrier, faults and journeys, the ledger and the inbox."""

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from sandbox.carrier import Carrier
from sandbox.carrier_webhooks import CarrierWebhooks
from sandbox.faults import FaultPlan, Faults
from sandbox.inbox import Inbox
from sandbox.journeys import JourneyPlan, Journeys
from sandbox.ledger import Ledger
from sandbox.payments import Payments
from sandbox.waiting import Waiting


class FrontDesk:
    """What tests and operators ask the sandbox itself, rather than the providers it plays."""

    def __init__(self, ledger: Ledger, faults: Faults, journeys: Journeys) -> None:
        self.ledger = ledger
        self.faults = faults
        self.journeys = journeys

    def routes(self) -> list[Route]:
        return [
            Route("/healthz", self.healthz, methods=["GET"]),
            Route("/ledger", self.effects, methods=["GET"]),
            Route("/requests", self.requests, methods=["GET"]),
            Route("/faults", self.list_faults, methods=["GET"]),
            Route("/faults", self.add_fault, methods=["POST"]),
            Route("/faults", self.clear_faults, methods=["DELETE"]),
            Route("/journeys", self.add_journey, methods=["POST"]),
            Route("/journeys", self.clear_journeys, methods=["DELETE"]),
            Route("/tracking", self.tracking, methods=["GET"]),
        ]

    async def healthz(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def effects(self, request: Request) -> Response:
        return JSONResponse(self.ledger.effects(request.query_params.get("order_id")))

    async def requests(self, request: Request) -> Response:
        query = request.query_params
        rows = self.ledger.requests(
            query.get("order_id"), query.get("provider"), query.get("operation"), query.get("to")
        )
        return JSONResponse({"requests": rows})

    async def list_faults(self, _: Request) -> Response:
        return JSONResponse({"faults": [fault.as_json() for fault in self.faults.all()]})

    async def add_fault(self, request: Request) -> Response:
        try:
            plan = FaultPlan.model_validate_json(await request.body())
        except ValidationError as error:
            return _invalid("invalid_fault", error)
        return JSONResponse(self.faults.add(plan).as_json(), 201)

    async def clear_faults(self, _: Request) -> Response:
        self.faults.clear()
        return Response(status_code=204)

    async def add_journey(self, request: Request) -> Response:
        try:
            plan = JourneyPlan.model_validate_json(await request.body())
        except ValidationError as error:
            return _invalid("invalid_journey", error)
        self.journeys.add(plan)
        return JSONResponse(plan.model_dump(mode="json"), 201)

    async def clear_journeys(self, _: Request) -> Response:
        self.journeys.clear()
        return Response(status_code=204)

    async def tracking(self, request: Request) -> Response:
        return JSONResponse({"tracking": self.ledger.tracking(request.query_params.get("order_id"))})


def _invalid(code: str, error: ValidationError) -> Response:
    return JSONResponse({"error": {"code": code, "fields": _fields(error)}}, 422)


def _fields(error: ValidationError) -> list[dict[str, str]]:
    """Which fields are wrong, and what is allowed in them."""
    return [
        {"field": ".".join(str(part) for part in detail["loc"]) or "body", "message": detail["msg"]}
        for detail in error.errors()
    ]


def build_app(ledger: Ledger, faults: Faults, waiting: Waiting, webhooks: CarrierWebhooks | None = None) -> Starlette:
    """Without `webhooks` the carrier's journeys are silent."""
    journeys = Journeys(ledger, waiting, webhooks)
    return Starlette(
        routes=[
            *FrontDesk(ledger, faults, journeys).routes(),
            *Inbox(ledger).routes(),
            Mount("/payments", routes=Payments(ledger, faults, waiting).routes()),
            Mount("/carrier", routes=Carrier(ledger, faults, waiting, journeys).routes()),
        ]
    )
