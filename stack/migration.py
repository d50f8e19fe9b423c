"""What has to be there before work is accepted: our tables, and Temporal's namespace, attributes and schedules."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar

import asyncpg
from google.protobuf.duration_pb2 import Duration
from sqlalchemy.exc import SQLAlchemyError
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
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
from stack.schedules import keep_schedules, unlike
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
CHECK_PATIENCE_S = 10.0
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
    with _database_trouble("migrated"):
        try:
            database.migrate.upgrade(DatabaseSettings().database_url.get_secret_value())
        except database.migrate.TablesInUse as error:
            raise StackError(
                f"the database cannot be migrated while its tables are in use: {error}",
                remedy="wait for that transaction to end, or end it; then run this again",
            ) from error
    return asyncio.run(_with_temporal(_prepare, PATIENCE_S))


def missing() -> list[str]:
    """What `migrate` would do, in words; nothing when all is as it should be. Changes nothing, and waits for nobody."""
    with _database_trouble("looked at"):
        revisions = database.migrate.missing(DatabaseSettings().database_url.get_secret_value())
    found = [f"the tables lack revision {', '.join(revisions)}"] if revisions else []
    return found + asyncio.run(_with_temporal(_missing, CHECK_PATIENCE_S))


@contextlib.contextmanager
def _database_trouble(done: str) -> Iterator[None]:
    try:
        yield
    except (OSError, SQLAlchemyError, asyncpg.PostgresError) as error:
        raise StackError(
            f"the database cannot be {done}: {error}",
            remedy="check that it runs, that DATABASE_URL is right, and that its role may create tables there",
        ) from error


async def _with_temporal(
    act: Callable[[Client, Sequence[DeclaredSchedule]], Awaitable[list[str]]], patience_s: float
) -> list[str]:
    settings, planned = TemporalSettings(), ScheduleSettings()
    declared = schedules(digest_at=planned.digest_time, digest_zone=planned.digest_zone)
    try:
        async with asyncio.timeout(patience_s):
            return await act(await _connect(settings), declared)
    except RPCError as error:
        raise StackError(
            f"Temporal at {settings.address} refuses: {error.message}",
            remedy="check TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE, and what this client may do there",
        ) from error
    except TimeoutError as error:
        raise StackError(
            f"Temporal at {settings.address} did not become usable within {patience_s:.0f} s",
            remedy="check that it runs and that TEMPORAL_ADDRESS is right",
        ) from error


async def _prepare(client: Client, declared: Sequence[DeclaredSchedule]) -> list[str]:
    # Where both are there nothing is asked for that takes an administrator, as on Temporal Cloud.
    if not await _is_usable(client):
        await _register_namespace(client)
        await _until_done(_add_search_attributes, client)
        await _until_done(_use, client)
    return await _until_done(partial(keep_schedules, declared=declared), client)


async def _missing(client: Client, declared: Sequence[DeclaredSchedule]) -> list[str]:
    try:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace), timeout=CALL_TIMEOUT
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return [f"Temporal has no namespace {client.namespace}, and so none of its search attributes and schedules"]
    unknown = [name for name in SEARCH_ATTRIBUTES if not await _can_be_searched(client, [name])]
    attributes = [f"the namespace {client.namespace} lacks the search attribute {name}" for name in unknown]
    return attributes + await unlike(client, declared)


async def _is_usable(client: Client) -> bool:
    try:
        await _use(client)
    except RPCError as error:
        if error.status not in PASSING:
            raise
        return False
    return True


async def _can_be_searched(client: Client, names: Collection[str]) -> bool:
    try:
        await _search(client, names)
    except RPCError as error:
        if error.status is not RPCStatusCode.INVALID_ARGUMENT:
            raise
        return False
    return True


async def _connect(settings: TemporalSettings) -> Client:
    while True:
        try:
            return await Client.connect(
                settings.address,
                **settings.access,
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
    await _search(client, SEARCH_ATTRIBUTES)


async def _search(client: Client, names: Collection[str]) -> None:
    query = " AND ".join(f"{name} IS NULL" for name in names)
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
