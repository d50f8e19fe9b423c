"""What Postgres and Temporal say of the whole system, as metrics of every API process.

Each reads by itself, in the background: no scrape waits for an outage. What could not be read is not shown, rather than
shown as it once was. Workers don't read it: when all of them are away, somebody has to see what waits.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import REGISTRY, Counter
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.outages import asking_postgres
from api.queue_keeping import QueueKeeper
from api.queue_resource import TasksResource
from api.schedule_keeping import ScheduleKeeper
from api.schedule_resource import RunOutcome, ScheduleResource
from database.dead_letters import DeadLetters
from database.tallies import COUNTED_TO, Tallies

BOOKS_EVERY_S = 15.0
QUEUES_EVERY_S = 15.0
# Runs of schedules are minutes apart.
SCHEDULES_EVERY_S = 60.0
STOPPED_AFTER_S = 0.1

Labels = tuple[str, ...]

READS = Counter(
    "followthrough_state_reads",
    "How often the state of books, queues and schedules was read for metrics",
    ["source", "outcome"],
)

log = structlog.get_logger()


@dataclass(frozen=True)
class Source:
    """Something to read now and then."""

    name: str
    every_s: float
    read: Callable[[], Awaitable[Sequence[Metric]]]


class StateMetrics(Collector):
    """Keeps what was read last of each source; the thread that answers scrapes takes it from here."""

    def __init__(self, tallies: Tallies, letters: DeadLetters, queues: QueueKeeper, schedules: ScheduleKeeper) -> None:
        self._tallies = tallies
        self._letters = letters
        self._queues = queues
        self._schedules = schedules
        self._found: dict[str, Sequence[Metric]] = {}
        self._began_at = time.time()
        self.sources = (
            Source("books", BOOKS_EVERY_S, self._read_books),
            Source("queues", QUEUES_EVERY_S, self._read_queues),
            Source("schedules", SCHEDULES_EVERY_S, self._read_schedules),
        )
        for source in self.sources:
            for outcome in ("succeeded", "failed"):
                READS.labels(source.name, outcome)

    def describe(self) -> tuple[Metric, ...]:
        """Nothing: what it will show is not known yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        for metrics in list(self._found.values()):
            yield from metrics

    async def keep_reading(self, source: Source) -> None:
        """Read a source at its times, until cancelled."""
        while True:
            await self.read(source)
            await asyncio.sleep(source.every_s)

    async def read(self, source: Source) -> None:
        """Read a source once, whatever is wrong with it."""
        try:
            self._found[source.name] = await source.read()
            READS.labels(source.name, "succeeded").inc()
        except Exception as error:
            self._found[source.name] = ()
            READS.labels(source.name, "failed").inc()
            log.warning("state not read for metrics", source=source.name, error=type(error).__name__)

    async def _read_books(self) -> Sequence[Metric]:
        async with asking_postgres():
            return (
                _counts("orders", "Orders that are not over", "status", await self._tallies.orders()),
                _counts("jobs", "Jobs that are not over", "status", await self._tallies.jobs()),
                _counts("attention_items", "Open items", "kind", await self._tallies.attention_items()),
                _counts("dead_letters", "Dead letters", "kind", await self._letters.tally(COUNTED_TO)),
            )

    async def _read_queues(self) -> Sequence[Metric]:
        found = await self._queues.list()
        tasks = {
            (queue.name, kind): waiting
            for queue in found.items
            for kind, waiting in (("workflow", queue.workflow), ("activity", queue.activity))
        }

        def gauge(name: str, what: str, value: Callable[[TasksResource], float]) -> Metric:
            return _gauge(name, what, ("queue", "kind"), {labels: value(one) for labels, one in tasks.items()})

        return (
            gauge("queue_depth", "Tasks that wait", lambda one: one.depth),
            gauge("queue_oldest_age_seconds", "How long the first task has waited", lambda one: one.oldest_age_s),
            gauge("queue_added_per_second", "Tasks added, over 30 s", lambda one: one.added_per_s),
            gauge("queue_dispatched_per_second", "Tasks handed out, over 30 s", lambda one: one.dispatched_per_s),
            gauge("queue_pollers", "Workers that ask for tasks", lambda one: len(one.pollers)),
        )

    async def _read_schedules(self) -> Sequence[Metric]:
        found = (await self._schedules.list()).items

        def gauge(name: str, what: str, value: Callable[[ScheduleResource], float]) -> Metric:
            return _gauge(name, what, ("schedule",), {(one.name,): value(one) for one in found})

        return (
            gauge("schedule_paused", "1: an operator has paused it", lambda one: one.paused),
            gauge("schedule_drift", "Parts in which Temporal differs from the code", lambda one: len(one.drift)),
            gauge("schedule_interval_seconds", "From one of its next runs to the other", _interval_s),
            gauge("schedule_failures_in_a_row", "Runs that failed since the last good one", _failures_in_a_row),
            gauge(
                "schedule_last_run_timestamp_seconds",
                "When its last run began; without one in three days, when this process did",
                lambda one: one.last_runs[0].started_at.timestamp() if one.last_runs else self._began_at,
            ),
        )


def _failures_in_a_row(schedule: ScheduleResource) -> int:
    failures = 0
    for run in schedule.last_runs:
        if run.outcome is RunOutcome.SUCCEEDED:
            break
        failures += run.outcome in (RunOutcome.FAILED, RunOutcome.TIMED_OUT)
    return failures


def _interval_s(schedule: ScheduleResource) -> float:
    """Jitter evens out over several runs."""
    first, *others = schedule.next_runs or (None,)
    if first is None or not others:
        return 0.0
    return (others[-1] - first).total_seconds() / len(others)


def _counts(name: str, what: str, label: str, counts: Mapping[Any, int]) -> Metric:
    return _gauge(name, f"{what}, counted to {COUNTED_TO} at most", (label,), {(key,): n for key, n in counts.items()})


def _gauge(name: str, what: str, labels: Labels, values: Mapping[Labels, float]) -> Metric:
    gauge = GaugeMetricFamily(f"followthrough_{name}", what, labels=labels)
    for of, value in values.items():
        gauge.add_metric(of, value)
    return gauge


@asynccontextmanager
async def shown(state: StateMetrics) -> AsyncIterator[None]:
    """Read and show the state while the context is open."""
    REGISTRY.register(state)
    reading = {asyncio.create_task(state.keep_reading(source)) for source in state.sources}
    try:
        yield
    finally:
        REGISTRY.unregister(state)
        while reading:
            for task in reading:
                task.cancel()
            # A connection that is cancelled may raise something else, which hides that it was, and be read anew.
            _, reading = await asyncio.wait(reading, timeout=STOPPED_AFTER_S)
