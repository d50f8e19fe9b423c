"""The worker's entry point: one process, one Temporal worker per task queue."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import structlog
import uvloop
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.service import GrpcCompression
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.activity_log import ActivityLog
from activities.heartbeats import Heartbeats
from activities.orders import OrderActivities
from activities.payments import PaymentActivities
from activities.provider_calls import ProviderCaller
from activities.shipping import ShippingActivities
from contracts import queues
from database.books import Books
from database.engine import create_engine
from logs import configure_logging
from providers.carrier import Carrier
from providers.payments import PaymentProvider
from settings import DatabaseSettings, ProviderCalls, TemporalSettings, WorkerSettings
from workflows.orders import OrderWorkflow

# After a kill -9 the next worker gets the lost workflow tasks this soon, instead of after Temporal's default of 10 s.
STICKY_TIMEOUT = timedelta(seconds=0.3)
HEARTBEAT_INTERVAL = timedelta(seconds=0.5)
GRACEFUL_SHUTDOWN = timedelta(seconds=10)

# A backlog waits in Temporal, where waiting costs nothing, not here: each order under way has local activities to run
# within its workflow task's 2 s, and too many at once would miss that, and do their work again.
ORDERS_AT_ONCE = 20

log = structlog.get_logger()


def main() -> None:
    """Run until SIGTERM or SIGINT; running activities then get a moment to finish."""
    configure_logging("worker")
    uvloop.run(_main())


async def _main() -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    settings = WorkerSettings()
    async with workers(settings, await _connect(settings)):
        log.info("worker started", queues=[queues.ORDERS, queues.PAYMENTS, queues.CARRIER])
        await stopping.wait()
    log.info("worker stopped")


async def _connect(settings: WorkerSettings) -> Client:
    temporal = TemporalSettings()
    metrics = PrometheusConfig(bind_address=f"{settings.metrics_host}:{settings.worker_metrics_port}")
    return await Client.connect(
        temporal.address,
        namespace=temporal.namespace,
        data_converter=pydantic_data_converter,
        # Our messages are a few kilobytes: compressing them takes both ends longer than sending them.
        grpc_compression=GrpcCompression.NONE,
        runtime=Runtime(telemetry=TelemetryConfig(metrics=metrics)),
    )


@contextlib.asynccontextmanager
async def workers(settings: WorkerSettings, client: Client) -> AsyncIterator[None]:
    """Poll every task queue while the context is open."""
    engine = create_engine(
        DatabaseSettings().database_url.get_secret_value(),
        connections=settings.worker_database_connections,
        application_name="followthrough worker",
    )
    books = Books(engine)
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=100)
    payments_client = httpx.AsyncClient(
        base_url=settings.payments_url,
        headers={"Authorization": f"Bearer {settings.payments_api_key.get_secret_value()}"},
        limits=limits,
    )
    carrier_client = httpx.AsyncClient(
        base_url=settings.carrier_url,
        headers={"Authorization": f"Bearer {settings.carrier_api_key.get_secret_value()}"},
        limits=limits,
    )

    def caller() -> ProviderCaller:
        return ProviderCaller(
            books,
            try_locally=settings.provider_calls is ProviderCalls.LOCAL_FIRST,
            settling_window_s=settings.settling_window_s,
        )

    orders = OrderActivities(books)
    payments = PaymentActivities(
        PaymentProvider(payments_client, timeout_s=settings.provider_timeout_s), books, caller()
    )
    shipping = ShippingActivities(Carrier(carrier_client, timeout_s=settings.provider_timeout_s), books, caller())

    order_activities: list[Callable[..., Any]] = [
        orders.reserve,
        orders.approve,
        orders.begin_undo,
        orders.finish_undo,
        orders.park,
        orders.retry,
        orders.resolve,
    ]
    payment_activities: list[Callable[..., Any]] = [payments.charge, payments.refund]
    shipping_activities: list[Callable[..., Any]] = [shipping.ship, shipping.cancel_shipment]

    polling = partial(
        Worker,
        client,
        interceptors=[ActivityLog(), Heartbeats()],
        max_heartbeat_throttle_interval=HEARTBEAT_INTERVAL,
        default_heartbeat_throttle_interval=HEARTBEAT_INTERVAL,
        graceful_shutdown_timeout=GRACEFUL_SHUTDOWN,
    )
    async with contextlib.AsyncExitStack() as running:
        running.push_async_callback(engine.dispose)
        await running.enter_async_context(payments_client)
        await running.enter_async_context(carrier_client)
        for worker in (
            polling(
                task_queue=queues.ORDERS,
                workflows=[OrderWorkflow],
                # The local tries of provider calls run here too.
                activities=[*order_activities, *payment_activities, *shipping_activities],
                # docs/decisions/workflow-sandbox.md
                workflow_runner=UnsandboxedWorkflowRunner(),
                sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
                max_concurrent_workflow_tasks=ORDERS_AT_ONCE,
            ),
            polling(task_queue=queues.PAYMENTS, activities=payment_activities),
            polling(task_queue=queues.CARRIER, activities=shipping_activities),
        ):
            await running.enter_async_context(worker)
        yield
