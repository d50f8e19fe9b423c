"""What a worker process is made of: task queues to poll, rows of the outbox to do, and what is open for their sake."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from typing import Any

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from activities.metrics import WorkerMetrics
from activities.outbox_relay import Handler, in_turn
from database.engine import create_engine, pool_use
from settings import DatabaseSettings

Activities = Sequence[Callable[..., Any]]

# After a kill -9 the next worker gets the lost workflow tasks this soon, instead of after Temporal's default of 10 s.
STICKY_TIMEOUT = timedelta(seconds=0.3)
# Prometheus comes every few seconds.
LOOK_AT_POOLS_EVERY_S = 1.0


@dataclass(frozen=True)
class TaskQueue:
    """A task queue that a worker polls, and what it does for it. `options` are those of `temporalio.worker.Worker`."""

    name: str
    activities: Activities = ()
    workflows: Sequence[type] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Hosted:
    """What a process does about one subject.

    `handlers` do rows of the outbox, by their kind. `beside` are what a process that does so runs until it stops.
    """

    task_queues: Sequence[TaskQueue] = ()
    handlers: Mapping[str, Handler] = field(default_factory=dict)
    beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = ()


def task_queues(hosted: Iterable[Hosted]) -> list[TaskQueue]:
    """Each task queue once, with all that subjects have done on it."""
    found: dict[str, TaskQueue] = {}
    for queue in chain.from_iterable(one.task_queues for one in hosted):
        known = found.get(queue.name, TaskQueue(queue.name))
        found[queue.name] = TaskQueue(
            queue.name,
            activities=[*known.activities, *queue.activities],
            workflows=[*known.workflows, *queue.workflows],
            options={**known.options, **queue.options},
        )
    return list(found.values())


def handlers(hosted: Iterable[Hosted]) -> dict[str, Handler]:
    """What does each kind of row; where several subjects want one, they get it in their order."""
    found: dict[str, list[Handler]] = {}
    for kind, handler in chain.from_iterable(one.handlers.items() for one in hosted):
        found.setdefault(kind, []).append(handler)
    return {kind: wanted[0] if len(wanted) == 1 else in_turn(*wanted) for kind, wanted in found.items()}


class Process:
    """A worker process and what it holds open until it stops."""

    def __init__(self, client: Client, running: AsyncExitStack, metrics: WorkerMetrics) -> None:
        self.client = client
        self.running = running
        self.metrics = metrics
        self._engines: dict[str, AsyncEngine] = {}

    def engine(self, purpose: str, connections: int, **options: Any) -> AsyncEngine:
        """A pool of connections to our books."""
        engine = create_engine(
            DatabaseSettings().database_url.get_secret_value(),
            connections=connections,
            application_name=f"followthrough {purpose}",
            **options,
        )
        self.running.push_async_callback(engine.dispose)
        self._engines[purpose] = engine
        return engine

    async def watch_pools(self) -> None:
        """Show how much of each pool is in use, until cancelled."""
        while True:
            for purpose, engine in self._engines.items():
                use = pool_use(engine)
                self.metrics.pool(purpose, used=use.used, limit=use.limit)
            await asyncio.sleep(LOOK_AT_POOLS_EVERY_S)

    async def http(self, base_url: str, api_key: str) -> httpx.AsyncClient:
        """A client of a provider."""
        return await self.running.enter_async_context(
            httpx.AsyncClient(
                base_url=base_url,
                headers={"Authorization": f"Bearer {api_key}"},
                limits=httpx.Limits(max_connections=200, max_keepalive_connections=100),
            )
        )

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin what goes on until the process stops."""
        task = asyncio.create_task(work)
        self.running.push_async_callback(_stop, task)
        return task


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
