"""Job functions of a test's own, run by a worker in the test's process on a queue of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

from pydantic import BaseModel
from sqlalchemy import insert, select, text
from temporalio import activity
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import PollActivityTaskQueueRequest
from temporalio.client import ActivityHandle
from temporalio.common import RetryPolicy
from temporalio.worker import Worker

from activities.heartbeats import Heartbeats
from activities.jobs.processes import JobProcesses
from activities.jobs.runs import JobBooks
from activities.jobs.starting import HEARTBEAT_TIMEOUT
from contracts.ids import new_job_id
from contracts.job_types.diagnostics import EchoArguments
from contracts.jobs import Job, JobStatus
from database.job_runs import JobRuns
from database.tables import jobs
from tests.shop import POLL_S, WITHIN_S, Shop

THROTTLE = timedelta(seconds=0.5)
THREADS = 10


class Bench:
    """Rows of jobs, and activities for them."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self.runs = JobRuns(shop.engine)
        self._queue = f"bench-{uuid4().hex[:8]}"

    @asynccontextmanager
    async def running(self, function: Callable[..., Any]) -> AsyncIterator[None]:
        """Have every job here run by this function."""
        async with self._working(activity.defn(name="bench")(function)):
            yield

    @asynccontextmanager
    async def running_in_processes(
        self, function: Callable[..., Any], memory_bytes: int | None = None
    ) -> AsyncIterator[None]:
        """Have every job here run by this function, each attempt in a process of its own."""
        processes = JobProcesses(memory_bytes)
        async with self._working(processes.hosting(function)):
            yield
        processes.close()

    @asynccontextmanager
    async def _working(self, function: Callable[..., Any]) -> AsyncIterator[None]:
        with ThreadPoolExecutor(THREADS) as threads:
            async with Worker(
                self._shop.client,
                task_queue=self._queue,
                activities=[function],
                interceptors=[Heartbeats(), JobBooks(self.runs)],
                activity_executor=threads,
                max_concurrent_activities=THREADS,
                max_heartbeat_throttle_interval=THROTTLE,
                default_heartbeat_throttle_interval=THROTTLE,
            ):
                yield

    async def row(self) -> str:
        """A job that our books have and nobody starts. Returns its id."""
        job_id = new_job_id()
        waiting = insert(jobs).values(
            id=job_id,
            type="bench",
            subject="bench",
            arguments="{}",
            queue=self._queue,
            priority=3,
            status=JobStatus.SCHEDULED,
            run_at=text("now()"),
        )
        async with self._shop.engine.begin() as connection:
            await connection.execute(waiting)
        return job_id

    @asynccontextmanager
    async def locked(self, job_id: str) -> AsyncIterator[None]:
        """Keep everybody from writing to a job."""
        async with self._shop.engine.begin() as connection:
            await connection.execute(select(jobs.c.id).where(jobs.c.id == job_id).with_for_update())
            yield

    async def start(
        self,
        job_id: str,
        arguments: BaseModel = EchoArguments(message="hello"),  # noqa: B008  # it is frozen
        *,
        attempts: int = 3,
        timeout_s: float = 60,
    ) -> ActivityHandle[Any]:
        return await self._shop.client.start_activity(
            "bench",
            arguments,
            id=job_id,
            task_queue=self._queue,
            start_to_close_timeout=timedelta(seconds=timeout_s),
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=100), maximum_attempts=attempts),
        )

    async def lose_attempt(self) -> None:
        """Take an attempt's task as a worker does that is lost before it does anything."""
        await self._shop.client.workflow_service.poll_activity_task_queue(
            PollActivityTaskQueueRequest(
                namespace=self._shop.client.namespace, task_queue=TaskQueue(name=self._queue), identity="lost"
            ),
            timeout=timedelta(seconds=WITHIN_S),
        )

    async def booked(self, job_id: str) -> Job:
        job = await self.runs.find(job_id)
        assert job is not None
        return job

    async def until(self, job_id: str, status: JobStatus) -> Job:
        """Wait until our books say so."""
        async with asyncio.timeout(WITHIN_S):
            while (job := await self.booked(job_id)).status is not status:
                assert not job.status.is_final, job
                await asyncio.sleep(POLL_S)
        return job


@asynccontextmanager
async def open_bench(shop: Shop) -> AsyncIterator[Bench]:
    yield Bench(shop)
