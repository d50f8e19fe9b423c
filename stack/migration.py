"""What has to be there before work is accepted: our tables, and Temporal's namespace, attributes and schedules."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar

import asyncpg
from google.protobuf.duration_pb2 import Duration
from sqlalchemy.exc import SQLAlchemyError
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    ListWorkflowExecutionsRequest,
    RegisterNamespaceRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

import database.migrate
from contracts.queues import ORDERS
from payloads import data_converter
from settings import DatabaseSettings, PayloadSettings, ScheduleSettings, TemporalSettings
from stack.errors import StackError
from stack.schedules import keep_schedules
from workflows.schedules import DeclaredSchedule, schedules

Result = TypeVar("Result")

RETENTION = timedelta(hours=72)
SEARCH_ATTRIBUTES = {
    "CustomerId": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "OrderStatus": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "OrderTotal": IndexedValueType.INDEXED_VALUE_TYPE_INT,
}
CALL_TIMEOUT = timedelta(seconds=5)
PATIENCE_S = 60.0
RETRY_EVERY_S = 0.1
# What Temporal says while it starts, and while a new namespace has not reached all of its parts.
PASSING = {
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.CANCELLED,
    RPCStatusCode.NOT_FOUND,
    RPCStatusCode.INVALID_ARGUMENT,
    RPCStatusCode.RESOURCE_EXHAUSTED,
}


def migrate() -> list[str]:
    """Bring the database and Temporal up to date. Safe to repeat. Waits up to a minute for Temporal to come up.

    Returns what was done about the schedules, in words.
    """
    settings, planned = DatabaseSettings(), ScheduleSettings()
    try:
        database.migrate.upgrade(settings.database_url.get_secret_value())
    except (OSError, SQLAlchemyError, asyncpg.PostgresError) as error:
        raise StackError(
            f"the database cannot be migrated: {error}",
            remedy="check that it runs, that DATABASE_URL is right, and that its role may create tables there",
        ) from error
    declared = schedules(digest_at=planned.digest_time, digest_zone=planned.digest_zone)
    return asyncio.run(_prepare_temporal(TemporalSettings(), declared))


async def _prepare_temporal(settings: TemporalSettings, declared: Sequence[DeclaredSchedule]) -> list[str]:
    try:
        async with asyncio.timeout(PATIENCE_S):
            client = await _connect(settings)
            await _register_namespace(client)
            await _until_done(_add_search_attributes, client)
            await _until_done(_use, client)
            return await _until_done(partial(keep_schedules, declared=declared), client)
    except RPCError as error:
        raise StackError(
            f"Temporal at {settings.address} refuses: {error.message}",
            remedy="check TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE, and what this client may do there",
        ) from error
    except TimeoutError as error:
        raise StackError(
            f"Temporal at {settings.address} did not become usable within {PATIENCE_S:.0f} s",
            remedy="check that it runs and that TEMPORAL_ADDRESS is right",
        ) from error


async def _connect(settings: TemporalSettings) -> Client:
    while True:
        try:
            return await Client.connect(
                settings.address,
                namespace=settings.namespace,
                data_converter=data_converter(PayloadSettings().keys),
            )
        except RuntimeError:
            # The client raises this, with words of its own, for a server that does not answer yet.
            await asyncio.sleep(RETRY_EVERY_S)


async def _register_namespace(client: Client) -> None:
    request = RegisterNamespaceRequest(
        namespace=client.namespace,
        description="Orders, followed through",
        workflow_execution_retention_period=Duration(seconds=int(RETENTION.total_seconds())),
    )
    while True:
        try:
            await client.workflow_service.register_namespace(request, timeout=CALL_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.ALREADY_EXISTS:
                return
            if error.status not in PASSING:
                raise
            await asyncio.sleep(RETRY_EVERY_S)
        else:
            return


async def _add_search_attributes(client: Client) -> None:
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace), timeout=CALL_TIMEOUT
    )
    missing = {name: kind for name, kind in SEARCH_ATTRIBUTES.items() if name not in listed.custom_attributes}
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing), timeout=CALL_TIMEOUT
        )


async def _use(client: Client) -> None:
    """Ask what a worker and the API will ask; only when that is answered are namespace and attributes known."""
    queue = DescribeTaskQueueRequest(namespace=client.namespace)
    queue.task_queue.name = ORDERS
    await client.workflow_service.describe_task_queue(queue, timeout=CALL_TIMEOUT)
    query = " AND ".join(f"{name} IS NULL" for name in SEARCH_ATTRIBUTES)
    await client.workflow_service.list_workflow_executions(
        ListWorkflowExecutionsRequest(namespace=client.namespace, page_size=1, query=query), timeout=CALL_TIMEOUT
    )


async def _until_done(step: Callable[[Client], Awaitable[Result]], client: Client) -> Result:
    while True:
        try:
            return await step(client)
        except RPCError as error:
            if error.status not in PASSING:
                raise
            await asyncio.sleep(RETRY_EVERY_S)
