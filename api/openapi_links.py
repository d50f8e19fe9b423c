"""OpenAPI links: what can be done with what an operation answers."""

from collections.abc import Iterator
from typing import Any

ANSWERED = "$response.body#/id"
FIRST_LISTED = "$response.body#/items/0/id"
# By operation, the path parameters that its answer is good for.
GIVEN: dict[str, dict[str, str]] = {
    "place_order": {"order_id": ANSWERED},
    "list_orders": {"order_id": FIRST_LISTED},
    "enqueue": {"job_id": ANSWERED},
    "list_jobs": {"job_id": FIRST_LISTED},
    "enqueue_batch": {"batch_id": ANSWERED},
    "ask_for_report": {"report_id": ANSWERED},
    "list_reports": {"report_id": FIRST_LISTED},
    "create_endpoint": {"endpoint_id": ANSWERED},
    "list_endpoints": {"endpoint_id": FIRST_LISTED},
    "test_endpoint": {"endpoint_id": "$request.path.endpoint_id", "delivery_id": ANSWERED},
    "list_deliveries": {"endpoint_id": "$request.path.endpoint_id", "delivery_id": FIRST_LISTED},
    "sign_up": {"account_id": ANSWERED},
    "list_dead_letters": {"letter_id": FIRST_LISTED},
    "start_bulk": {"bulk_id": ANSWERED},
    "list_schedules": {"name": "$response.body#/items/0/name"},
    "list_catalogue": {"sku": "$response.body#/items/0/sku"},
}


def add_links(described: dict[str, Any]) -> None:
    """Link each answer to all operations whose path parameters it gives, and that need no others."""
    for operation in list(_operations(described)):
        given = GIVEN.get(operation["operationId"])
        if given is None:
            continue
        links = {
            other["operationId"]: {"operationId": other["operationId"], "parameters": given}
            for other in _operations(described)
            if _in_path(other) == given.keys()
        }
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                response["links"] = links


def _operations(described: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in described["paths"].values():
        yield from operations.values()


def _in_path(operation: dict[str, Any]) -> set[str]:
    return {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "path"}
