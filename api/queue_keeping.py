"""Asks Temporal about the task queues, all of them at once."""

import asyncio
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from api.outages import asking_temporal
from api.queue_resource import QueueList, QueueResource, TasksResource
from api.readiness import POLLED_WITHIN
from contracts import queues

WITHIN_S = 3.0


class QueueKeeper:
    """Knows the queues of contracts/queues.py, whether or not anybody polls them."""

    def __init__(self, temporal: Client) -> None:
        self._temporal = temporal

    async def list(self) -> QueueList:
        """Raises Unreachable."""
        async with asking_temporal(WITHIN_S):
            return QueueList(items=tuple(await asyncio.gather(*map(self._queue, queues.ALL))))

    async def _queue(self, name: str) -> QueueResource:
        workflow, activity = await asyncio.gather(
            self._tasks(name, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW),
            self._tasks(name, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY),
        )
        return QueueResource(name=name, workflow=workflow, activity=activity)

    async def _tasks(self, name: str, kind: TaskQueueType.ValueType) -> TasksResource:
        request = DescribeTaskQueueRequest(
            namespace=self._temporal.namespace, task_queue=TaskQueue(name=name), task_queue_type=kind, report_stats=True
        )
        described = await self._temporal.workflow_service.describe_task_queue(
            request, timeout=timedelta(seconds=WITHIN_S)
        )
        return TasksResource.of(described, datetime.now(UTC) - POLLED_WITHIN)
