"""/v1/orders.csv: orders as a file."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.auth import Scope
from api.dependencies import Caller, Exporter
from api.errors import TooManyExports
from api.order_filters import FilterQuery
from api.routing import GuardedRoute, problems, requires
from contracts.order_rows import csv_header

router = APIRouter(tags=["orders"], route_class=GuardedRoute)

CSV: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "CSV (RFC 4180) in UTF-8 with a header, newest first; it ends early only if the connection does",
        "content": {"text/csv": {"schema": {"type": "string"}, "example": csv_header().decode()}},
        "headers": {"Content-Disposition": {"schema": {"type": "string"}, "description": "suggests a file name"}},
    }
}


@router.get("/v1/orders.csv", response_class=Response, responses=CSV | problems(TooManyExports))
@requires(Scope.ORDERS_READ)
async def export_orders(query: Annotated[FilterQuery, Query()], caller: Caller, exporter: Exporter) -> Response:
    """Export orders as CSV: the caller's own, or everybody's for an operator. Filters may be combined."""
    return exporter.csv(query.wanted, customer_id=None if caller.is_operator else caller.subject)
