"""Whether this process can take orders and have them worked on, now."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, DescribeTaskQueueRequest
from temporalio.client import Client

from contracts.queues import ORDERS

CHECK_WITHIN_S = 1.0
OK = "ok"
# A worker without work asks anew once a minute.
POLLED_WITHIN = timedelta(seconds=75)


class Part(StrEnum):
    """What orders need, beside the process that takes them."""

    POSTGRES = "postgres"
    TEMPORAL = "temporal"
    WORKER = "worker"


class Readiness:
    """Checks Postgres, Temporal and the workers, all at once.

    Temporal lists a worker for as long as it may be waiting in a poll: one that died counts for up to 75 s more.
    """

    def __init__(self, engine: AsyncEngine, temporal: Client) -> None:
        self._engine = engine
        self._temporal = temporal
        self._checks: Mapping[Part, Callable[[], Coroutine[Any, Any, str]]] = {
            Part.POSTGRES: self._postgres,
            Part.TEMPORAL: self._check_temporal,
            Part.WORKER: self._worker,
        }

    async def checks(self, without: Collection[Part] = ()) -> dict[str, str]:
        """By name, `ok` or what is wrong with each part but these. Takes about a second at most."""
        wanted = [part for part in Part if part not in without]
        found = await asyncio.gather(*(_bounded(self._checks[part]()) for part in wanted))
        return {part.value: word for part, word in zip(wanted, found, strict=True)}

    async def _postgres(self) -> str:
        async with self._engine.connect() as connection:
            await connection.execute(text("SELECT id FROM followthrough.orders LIMIT 0"))
        return OK

    async def _check_temporal(self) -> str:
        await self._temporal.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=self._temporal.namespace), timeout=timedelta(seconds=CHECK_WITHIN_S)
        )
        return OK

    async def _worker(self) -> str:
        queue = await self._temporal.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=self._temporal.namespace,
                task_queue=TaskQueue(name=ORDERS),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
            ),
            timeout=timedelta(seconds=CHECK_WITHIN_S),
        )
        since = datetime.now(UTC) - POLLED_WITHIN
        if any(poller.last_access_time.ToDatetime(UTC) > since for poller in queue.pollers):
            return OK
        return f"no worker has asked for orders for {POLLED_WITHIN.seconds} s"


async def _bounded(check: Coroutine[Any, Any, str]) -> str:
    task = asyncio.create_task(check)
    done, _ = await asyncio.wait({task}, timeout=CHECK_WITHIN_S)
    if not done:
        # Not awaited: ending a connection to a Postgres that hangs takes longer than a probe waits.
        task.cancel()
        return f"no answer within {CHECK_WITHIN_S:.0f} s"
    error = task.exception()
    # Whatever is wrong with it, it is not ready; the kind of error is all that strangers need.
    return f"no good answer ({type(error).__name__})" if error else task.result()
