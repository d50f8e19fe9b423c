"""The worker's entry point: one process, one Temporal worker per task queue. hosting/ says what is done on them."""

import asyncio
import contextlib
import ctypes
import gc
import logging
import signal
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from datetime import timedelta

import structlog
import uvloop
from temporalio.client import Client, Interceptor
from temporalio.common import MetricMeter, VersioningBehavior, WorkerDeploymentVersion
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)
from temporalio.service import GrpcCompression
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig

import stalls
import tracing
from activities.activity_log import ActivityLog
from activities.heartbeats import Heartbeats
from activities.metrics import BUCKETS, WorkerMetrics
from activities.outbox_relay import CONNECTIONS as RELAY_CONNECTIONS
from activities.outbox_relay import OutboxRelay
from contracts import queues
from database.outbox import Outbox
from hosting.accounts import host_accounts
from hosting.bulk import host_bulk
from hosting.jobs import host_jobs
from hosting.orders import host_orders
from hosting.process import Process, TaskQueue, handlers, task_queues
from hosting.upkeep import host_upkeep
from hosting.webhooks import host_inbound_events, host_webhooks
from logs import configure_logging
from payloads import data_converter
from settings import DeploymentSettings, EventLoopSettings, PayloadSettings, TemporalSettings, WorkerSettings

HEARTBEAT_INTERVAL = timedelta(seconds=0.5)
INTERCEPTORS = (ActivityLog(), Heartbeats())

# In glibc's malloc.h.
M_MMAP_THRESHOLD = -3
LARGE_BYTES = 128 * 1024

log = structlog.get_logger()


def main(polled: Collection[str] = queues.ALL) -> None:
    """Poll these queues until SIGTERM or SIGINT; running activities then get a moment to finish."""
    _hand_back_large_blocks()
    traces = tracing.begin("worker")
    configure_logging("worker", *traces.log_processors)
    try:
        uvloop.run(_main(polled, traces.interceptors))
    finally:
        traces.stop()


def _hand_back_large_blocks() -> None:
    """Have glibc give large blocks back to the system whenever they are freed.

    Left alone it keeps them after the first ones, and a worker that has written a report stays 10 MB larger.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


async def _main(polled: Collection[str], interceptors: Sequence[Interceptor]) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    settings = WorkerSettings()
    runtime = _runtime(settings)
    metrics = WorkerMetrics(runtime.metric_meter)
    client = await _connect(runtime, interceptors)
    async with workers(settings, client, runtime.metric_meter, metrics, polled) as relaying:
        # What start-up made stays for good: looking through all of it, the garbage collector would stop us for 0.1 s.
        gc.collect()
        gc.freeze()
        log.info("worker started", queues=sorted(polled))
        with stalls.noticed(EventLoopSettings().blocked_after_s, metrics.event_loop_blocked):
            stopped = asyncio.create_task(stopping.wait())
            await asyncio.wait({stopped, relaying}, return_when=asyncio.FIRST_COMPLETED)
        if relaying.done():
            # It never ends by itself: better a fresh process than a worker that leaves the outbox lying.
            relaying.result()
    log.info("worker stopped")


def _runtime(settings: WorkerSettings) -> Runtime:
    metrics = PrometheusConfig(
        bind_address=f"{settings.metrics_host}:{settings.worker_metrics_port}",
        # As Prometheus wants names and units.
        counters_total_suffix=True,
        unit_suffix=True,
        durations_as_seconds=True,
        histogram_bucket_overrides=BUCKETS,
    )
    # The SDK's core would write lines of its own, which no reader of ours expects.
    log_lines = LoggingConfig(
        TelemetryFilter(core_level="WARN", other_level="ERROR"),
        forwarding=LogForwardingConfig(logging.getLogger("temporalio.core")),
    )
    return Runtime(telemetry=TelemetryConfig(logging=log_lines, metrics=metrics, attach_service_name=False))


async def _connect(runtime: Runtime, interceptors: Sequence[Interceptor]) -> Client:
    temporal = TemporalSettings()
    return await Client.connect(
        temporal.address,
        **temporal.access,
        data_converter=data_converter(PayloadSettings().keys),
        # Our messages are a few kilobytes: compressing them takes both ends longer than sending them.
        grpc_compression=GrpcCompression.NONE,
        # The workers that are made of it take these too, before their own.
        interceptors=interceptors,
        runtime=runtime,
    )


@contextlib.asynccontextmanager
async def workers(
    settings: WorkerSettings, client: Client, meter: MetricMeter, metrics: WorkerMetrics, polled: Collection[str]
) -> AsyncIterator[asyncio.Task[None]]:
    """Poll these task queues, and do what comes into the outbox, while the context is open. Yields the latter task.

    A worker that is kept for other queues leaves the outbox to those that run orders; its task then only waits.
    """
    async with contextlib.AsyncExitStack() as running:
        process = Process(client, running, metrics)
        engine = process.engine("worker", settings.worker_database_connections)
        hosted = [
            await host_orders(process, settings, engine),
            # Webhooks hear of an order's event before its customer gets a mail.
            host_webhooks(process),
            host_inbound_events(process, engine),
            host_accounts(process, engine),
            host_jobs(process),
            host_bulk(process, engine),
            await host_upkeep(process, settings),
        ]
        # Of its own, too: rows that hang keep their connections.
        deployment = DeploymentSettings()
        relay = OutboxRelay(Outbox(process.engine("outbox", RELAY_CONNECTIONS)), handlers(hosted), meter)
        polling = [
            _polling(client, queue, settings, deployment) for queue in task_queues(hosted) if queue.name in polled
        ]
        for one_queue in polling:
            await running.enter_async_context(one_queue)
        running.push_async_callback(_shut_down, polling)
        process.run(process.watch_pools())
        if queues.ORDERS not in polled:
            yield process.run(_wait_for_ever())
            return
        for one in hosted:
            for work in one.beside:
                process.run(work())
        yield process.run(relay.run())


def _deployment(settings: DeploymentSettings, queue: str) -> WorkerDeploymentConfig | None:
    """Which version of the workers this is, and what that means for this queue; None where there are no versions.

    Here and not in the workflows' definitions: the server takes none of them from workers without a version.
    """
    if not settings.worker_versioning or queue in queues.UNVERSIONED:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(deployment_name=settings.deployment_name, build_id=settings.build_id),
        use_worker_versioning=True,
        default_versioning_behavior=(
            VersioningBehavior.PINNED if queue in queues.PINNED else VersioningBehavior.AUTO_UPGRADE
        ),
    )


def _polling(client: Client, queue: TaskQueue, settings: WorkerSettings, deployment: DeploymentSettings) -> Worker:
    return Worker(
        client,
        task_queue=queue.name,
        activities=queue.activities,
        workflows=queue.workflows,
        # docs/decisions/workflow-sandbox.md
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_heartbeat_throttle_interval=HEARTBEAT_INTERVAL,
        default_heartbeat_throttle_interval=HEARTBEAT_INTERVAL,
        deployment_config=_deployment(deployment, queue.name),
        graceful_shutdown_timeout=timedelta(seconds=settings.worker_drain_s),
        **{**queue.options, "interceptors": [*INTERCEPTORS, *queue.options.get("interceptors", ())]},
    )


async def _shut_down(polling: Iterable[Worker]) -> None:
    """Have all of them take nothing more, and wait until what they do has ended.

    Left to their contexts they would end one after the other, each after its whole drain, with the last ones at work.
    """
    await asyncio.gather(*(worker.shutdown() for worker in polling))


async def _wait_for_ever() -> None:
    await asyncio.Event().wait()
