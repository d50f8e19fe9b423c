"""One order is one trace, from its POST to the carrier, over every process and over a worker's death.

All of it is in one file, which is one process of pytest's and so one stack.
"""

import asyncio
import base64
import json
import os
import signal
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client

from stack.home import Home
from tests.acceptance.client import BIKE, TEE, Caller, Door, new_key, order_body
from tests.collector import Collector, Told
from tests.integration.traces.conftest import AUTHORIZATION
from tests.stack_session import RunningStack

API, WORKER = "followthrough-api", "followthrough-worker"
WITHIN_S = 30.0
POLL_S = 0.1
# What a caller may say besides, and what is nobody's business.
BAGGAGE = "customer=ada-canary-baggage"
TRACE_STATE = "vendor=canary-trace-state"
# An order ends when all is handed over; its child, the shipment, goes on for days.
OVER = {"CompleteWorkflow:Order", "RunWorkflow:Shipment"}


def is_over(trace: list[Told]) -> bool:
    return {told.name for told in trace} >= OVER


def lineage(trace: list[Told], told: Told) -> list[str]:
    """Who has called this, down to the root."""
    by_id = {one.id: one for one in trace}
    names = [told.name]
    while told.parent in by_id:
        told = by_id[told.parent]
        names.append(told.name)
    return names


async def place(customer: Caller, **order: Any) -> tuple[str, str]:
    """Place an order within a caller's trace: the ids of both."""
    trace_id = uuid4().hex
    headers = {
        "Idempotency-Key": new_key(),
        "traceparent": f"00-{trace_id}-{uuid4().hex[:16]}-01",
        "tracestate": TRACE_STATE,
        "baggage": BAGGAGE,
    }
    answer = await customer.post("/v1/orders", headers, json=order_body(**order))
    assert answer.status_code == 202, answer.text
    return answer.json()["id"], trace_id


async def temporal_of(stack: RunningStack) -> Client:
    return await Client.connect(
        stack.temporal_address, namespace=stack.temporal_namespace, data_converter=stack.data_converter
    )


async def test_an_order_is_one_trace_from_the_request_to_the_carrier(customer: Caller, collector: Collector) -> None:
    order_id, trace_id = await place(customer, sku=TEE)

    trace = await collector.until(trace_id, is_over)

    [request] = [told for told in trace if told.name == "POST /v1/orders"]
    assert (request.service, request.attributes["http.response.status_code"]) == (API, "202")
    ships = [told for told in trace if told.name == "POST" and "RunActivity:ship" in lineage(trace, told)]
    assert [lineage(trace, told) for told in ships] == [
        [
            "POST",
            "RunActivity:ship",
            "StartActivity:ship",
            "StartWorkflow:Order",
            "POST /v1/orders",
        ]
    ]
    assert {told.service for told in ships} == {WORKER}
    # Every span but the caller's own is in one tree, whatever made it.
    assert {lineage(trace, told)[-1] for told in trace} == {"POST /v1/orders"}
    below = {name: [told for told in trace if lineage(trace, told)[1:2] == [name]] for name in ("RunActivity:reserve",)}
    assert any("INSERT INTO" in told.attributes.get("db.query.text", "") for told in below["RunActivity:reserve"])
    assert any("db.query.text" in told.attributes and told.service == API for told in trace)
    # And nothing about this order is in any other.
    assert {told.trace_id for told in collector.spans if f"order/{order_id}" in told.attributes.values()} == {trace_id}


async def test_a_span_holds_nothing_of_anybodys_data(
    stack: RunningStack, customer: Caller, collector: Collector
) -> None:
    refused = "pm_card_visa_chargeDeclined"
    order_id, trace_id = await place(customer, sku=TEE, payment_method=refused)
    await collector.until(trace_id, lambda trace: "CompleteWorkflow:Order" in {told.name for told in trace})
    answer = await customer.get("/v1/orders", status="canary-query")
    assert answer.status_code == 422

    brought = b"".join(collector.bodies)

    assert order_id.encode() in brought
    secrets = Home(stack.home).secrets()
    for canary in (
        *("Ada", "12 Long St", "0150", refused, customer.subject, "canary"),
        *(secrets.payments_api_key, secrets.carrier_api_key, customer.headers["Authorization"].split()[1]),
    ):
        assert canary.encode() not in brought, canary
    assert {headers["authorization"] for headers in collector.headers} == {AUTHORIZATION}
    for name in ("api", "worker"):
        assert AUTHORIZATION.split()[1] not in (stack.home / "logs" / f"{name}.log").read_text()


async def test_temporal_is_told_the_ids_of_the_trace_alone(
    stack: RunningStack, customer: Caller, collector: Collector
) -> None:
    order_id, trace_id = await place(customer, sku=TEE)
    await collector.until(trace_id, is_over)
    client = await temporal_of(stack)

    history = await client.get_workflow_handle(f"order/{order_id}").fetch_history()

    headers = [dict(found) for found in headers_in(json.loads(history.to_json()))]
    assert headers
    for header in headers:
        assert set(header) == {"_tracer-data"}
        [(name, value)] = json.loads(header["_tracer-data"]).items()
        assert (name, value.split("-")[1]) == ("traceparent", trace_id)


async def test_lines_of_the_log_name_trace_request_order_and_workflow(
    stack: RunningStack, customer: Caller, collector: Collector
) -> None:
    order_id, trace_id = await place(customer, sku=TEE)
    await collector.until(trace_id, is_over)

    lines = [
        json.loads(line)
        for name in ("api", "worker")
        for line in (stack.home / "logs" / f"{name}.log").read_text().splitlines()
        if trace_id in line
    ]

    request = [line for line in lines if line["event"] == "request"]
    steps = [line["activity"] for line in lines if line["event"] == "activity"]
    assert [(line["process"], line["route"]) for line in request] == [("api", "/v1/orders")]
    assert request[0]["request_id"]
    assert {"reserve", "charge", "ship"} <= set(steps)
    assert {line["order_id"] for line in lines if "order_id" in line} == {order_id}
    assert f"order/{order_id}" in {line["workflow_id"] for line in lines}
    spans = {told.id for told in collector.trace(trace_id)}
    assert {line["span_id"] for line in lines} <= spans


@pytest.mark.outage
async def test_a_worker_that_goes_on_with_an_order_doubles_none_of_its_spans(
    stack: RunningStack, customer: Caller, operator: Caller, collector: Collector
) -> None:
    order_id, trace_id = await place(customer, sku=BIKE, quantity=1)
    await customer.until(order_id, "awaiting_approval")
    await collector.until(trace_id, lambda trace: "RunActivity:reserve" in {told.name for told in trace})
    killed = stack.status()["processes"]["worker"]["pid"]

    os.kill(killed, signal.SIGKILL)
    async with asyncio.timeout(WITHIN_S):
        while not (worker := stack.status()["processes"]["worker"])["healthy"] or worker["pid"] == killed:
            await asyncio.sleep(POLL_S)
    approved = await operator.post(f"/v1/admin/orders/{order_id}/approve", json={})
    assert approved.status_code == 202, approved.text

    trace = await collector.until(trace_id, is_over)
    times = Counter(told.name for told in trace if told.name.endswith(("Order", "reserve", "charge", "ship")))
    assert times == {
        "StartWorkflow:Order": 1,
        "RunWorkflow:Order": 1,
        "StartActivity:reserve": 1,
        "RunActivity:reserve": 1,
        "StartActivity:charge": 1,
        "RunActivity:charge": 1,
        "StartActivity:ship": 1,
        "RunActivity:ship": 1,
        "CompleteWorkflow:Order": 1,
    }
    client = await temporal_of(stack)
    assert await client.get_workflow_handle(f"order/{order_id}").result() is not None


async def test_a_job_is_a_trace_from_its_start_to_its_function(door: Door, collector: Collector) -> None:
    body = {"type": "diagnostics.echo", "arguments": {"message": "canary"}}
    answer = await door.customer("jobs:write").post("/v1/jobs", {"Idempotency-Key": new_key()}, json=body)
    assert answer.status_code == 202, answer.text
    job_id = answer.json()["id"]

    async with asyncio.timeout(WITHIN_S):
        while not (
            run := [
                told
                for told in collector.spans
                if told.name.startswith("RunActivity:") and told.attributes["temporalActivityID"] == job_id
            ]
        ):
            await asyncio.sleep(POLL_S)

    [started] = [told for told in collector.spans if told.id == run[0].parent]
    assert (started.name, started.parent) == ("StartActivity:diagnostics.echo", "")
    assert started.attributes["temporalActivityID"] == job_id
    assert b"canary" not in b"".join(collector.bodies)


def headers_in(found: Any) -> list[dict[str, str]]:
    """Every header of a history, each field as what it says."""
    match found:
        case {"header": {"fields": dict(fields)}}:
            own = [{name: _decoded(payload) for name, payload in fields.items()}]
            return own + [header for name, member in found.items() if name != "header" for header in headers_in(member)]
        case dict():
            return [header for member in found.values() for header in headers_in(member)]
        case list():
            return [header for member in found for header in headers_in(member)]
    return []


def _decoded(payload: dict[str, Any]) -> str:
    return base64.b64decode(payload["data"]).decode()
