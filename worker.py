"""The worker's entry point: one process, one Temporal worker per task queue."""

import asyncio
import contextlib
import ctypes
import gc
import logging
import signal
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import structlog
import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client
from temporalio.common import MetricMeter
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)
from temporalio.service import GrpcCompression
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import stalls
from activities.account_mails import AccountMailActivities
from activities.account_outbox import AccountOutbox
from activities.accounts import AccountActivities
from activities.activity_log import ActivityLog
from activities.carrier_events import CarrierEvents
from activities.cleanup import CleanupActivities
from activities.digest import DigestActivities
from activities.email.digests import DigestWriter
from activities.email.messages import AccountMailWriter
from activities.fraud import FraudActivities
from activities.heartbeats import Heartbeats
from activities.inbound import InboundEvents
from activities.jobs.batch_starts import BatchStarts
from activities.jobs.batches import BatchActivities
from activities.jobs.catalogue import CatalogueJobs, Merchandiser
from activities.jobs.functions import job_functions
from activities.jobs.images import ImageJobs
from activities.jobs.processes import JobProcesses
from activities.jobs.registry import queues_of, rate_limit_of
from activities.jobs.reports import ReportJobs
from activities.jobs.runs import JobBooks
from activities.jobs.settling import JobSettler
from activities.jobs.starting import JobStarts
from activities.order_retries import OrderRetries
from activities.orders import OrderActivities
from activities.outbox_relay import CONNECTIONS as RELAY_CONNECTIONS
from activities.outbox_relay import OutboxRelay, in_turn
from activities.payment_events import PaymentEvents
from activities.payments import PaymentActivities
from activities.provider_calls import ProviderCaller
from activities.reconciliation import ReconciliationActivities
from activities.reports.expiry import ReportExpiry
from activities.reports.orders import OrdersReportWriter
from activities.shipments import ShipmentActivities
from activities.shipping import ShippingActivities
from activities.watching import Watch, WatchActivities
from activities.webhook_fan_out import WebhookFanOut
from activities.webhook_receivers import SystemReceiver, keep_receivers
from activities.webhooks import WebhookActivities
from contracts import queues
from contracts.accounts import WelcomeRules
from contracts.outbox import OutboxKind
from database.accounts import AccountRepository
from database.attention import AttentionRepository
from database.booked_payments import BookedPaymentsRepository
from database.books import Books
from database.cleanup import CleanupRepository
from database.digest import DigestRepository
from database.engine import create_engine
from database.inbound import InboundRepository
from database.job_batches import BatchRepository
from database.job_runs import JobRuns
from database.mails import MailRepository
from database.order_rows import OrderRows
from database.order_watch import OrderWatch
from database.orders import OrderRepository
from database.outbox import Outbox
from database.reports import ReportRepository
from database.shipments import ShipmentRepository
from database.webhook_attempts import AttemptRepository
from database.webhook_deliveries import DeliveryRepository
from database.webhook_endpoints import EndpointRepository
from database.webhook_health import WebhookHealth
from logs import configure_logging
from providers.carrier import Carrier
from providers.email import Mailer, SmtpServer
from providers.object_store import ObjectStore, S3Access, open_object_store
from providers.payments import PaymentProvider
from providers.webhook_sender import WebhookSender
from providers.webhook_urls import WebhookUrlPolicy
from settings import (
    ConfirmationSettings,
    DatabaseSettings,
    DigestSettings,
    EventLoopSettings,
    JobSettings,
    MailSettings,
    MerchandiserSettings,
    ObjectStoreSettings,
    ProviderCalls,
    RetentionSettings,
    S3Settings,
    SmtpSecurity,
    TemporalSettings,
    WebhookSettings,
    WebhookWorkerSettings,
    WorkerSettings,
)
from workflows.delivery import DeliveryWorkflow
from workflows.job_batches import JobBatchWorkflow
from workflows.orders import OrderWorkflow
from workflows.shipments import ShipmentWorkflow
from workflows.upkeep import UPKEEP
from workflows.welcome import AccountMailWorkflow, WelcomeWorkflow

# After a kill -9 the next worker gets the lost workflow tasks this soon, instead of after Temporal's default of 10 s.
STICKY_TIMEOUT = timedelta(seconds=0.3)
HEARTBEAT_INTERVAL = timedelta(seconds=0.5)
GRACEFUL_SHUTDOWN = timedelta(seconds=10)

# A backlog waits in Temporal, where waiting costs nothing, not here: each order under way has local activities to run
# within its workflow task's 2 s, and too many at once would miss that, and do their work again.
ORDERS_AT_ONCE = 20
# Each has a connection of its own to the mail server.
MAILS_AT_ONCE = 10
# They mostly wait for receivers. One that never answers takes ten of these at most.
WEBHOOKS_AT_ONCE = 500
# They wait for hours and have short histories: not worth the memory of the usual thousand.
SHIPMENTS_CACHED = 100
# Each has up to 10 MB in memory, and keeps a connection to Postgres busy.
REPORTS_AT_ONCE = 2

# In glibc's malloc.h.
M_MMAP_THRESHOLD = -3
LARGE_BYTES = 128 * 1024
# Each does one thing after the other.
UPKEEP_CONNECTIONS = 3
BATCHES_CACHED = 100

INTERCEPTORS = (ActivityLog(), Heartbeats())

log = structlog.get_logger()


def main(polled: Collection[str] = queues.ALL) -> None:
    """Poll these queues until SIGTERM or SIGINT; running activities then get a moment to finish."""
    _hand_back_large_blocks()
    configure_logging("worker")
    uvloop.run(_main(polled))


def _hand_back_large_blocks() -> None:
    """Have glibc give large blocks back to the system whenever they are freed.

    Left alone it keeps them after the first ones, and a worker that has written a report stays 10 MB larger.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


async def _main(polled: Collection[str]) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    settings = WorkerSettings()
    runtime = _runtime(settings)
    async with workers(settings, await _connect(runtime), runtime.metric_meter, polled) as relaying:
        # What start-up made stays for good: looking through all of it, the garbage collector would stop us for 0.1 s.
        gc.collect()
        gc.freeze()
        log.info("worker started", queues=sorted(polled))
        with stalls.noticed(EventLoopSettings().blocked_after_s):
            stopped = asyncio.create_task(stopping.wait())
            await asyncio.wait({stopped, relaying}, return_when=asyncio.FIRST_COMPLETED)
        if relaying.done():
            # It never ends by itself: better a fresh process than a worker that leaves the outbox lying.
            relaying.result()
    log.info("worker stopped")


def _runtime(settings: WorkerSettings) -> Runtime:
    metrics = PrometheusConfig(bind_address=f"{settings.metrics_host}:{settings.worker_metrics_port}")
    # The SDK's core would write lines of its own, which no reader of ours expects.
    log_lines = LoggingConfig(
        TelemetryFilter(core_level="WARN", other_level="ERROR"),
        forwarding=LogForwardingConfig(logging.getLogger("temporalio.core")),
    )
    return Runtime(telemetry=TelemetryConfig(logging=log_lines, metrics=metrics))


async def _connect(runtime: Runtime) -> Client:
    temporal = TemporalSettings()
    return await Client.connect(
        temporal.address,
        namespace=temporal.namespace,
        data_converter=pydantic_data_converter,
        # Our messages are a few kilobytes: compressing them takes both ends longer than sending them.
        grpc_compression=GrpcCompression.NONE,
        runtime=runtime,
    )


@contextlib.asynccontextmanager
async def workers(
    settings: WorkerSettings, client: Client, meter: MetricMeter, polled: Collection[str]
) -> AsyncIterator[asyncio.Task[None]]:
    """Poll these task queues, and do what comes into the outbox, while the context is open. Yields the latter task.

    A worker that is kept for other queues leaves the outbox to those that run orders; its task then only waits.
    """
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
    carrier = Carrier(carrier_client, timeout_s=settings.provider_timeout_s)
    shipping = ShippingActivities(carrier, books, caller())
    tracked, attention = ShipmentRepository(engine), AttentionRepository(engine)
    shipments = ShipmentActivities(carrier, tracked, attention)

    repository = AccountRepository(engine)
    accounts = AccountActivities(repository)
    account_mails = AccountMailActivities(
        _mailer(), _account_mail_writer(), repository, OrderRepository(engine), MailRepository(engine)
    )
    inbound = InboundEvents(
        InboundRepository(engine), PaymentEvents(books, attention, client), CarrierEvents(tracked, client)
    )
    webhooks = WebhookWorkerSettings()
    # Of their own: however many webhooks there are, no order waits for a connection because of them.
    webhook_engine = create_engine(
        DatabaseSettings().database_url.get_secret_value(),
        connections=webhooks.database_connections,
        application_name="followthrough webhooks",
    )
    deliveries = WebhookActivities(AttemptRepository(webhook_engine), _webhook_sender())
    fan_out = WebhookFanOut(client, DeliveryRepository(webhook_engine))
    account_outbox = AccountOutbox(client)
    job_settings = JobSettings()
    job_engine = create_engine(
        DatabaseSettings().database_url.get_secret_value(),
        connections=job_settings.database_connections,
        application_name="followthrough jobs",
    )
    job_runs = JobRuns(job_engine)
    # Of their own: however long reports read, no job waits for a connection because of them.
    report_engine = create_engine(
        DatabaseSettings().database_url.get_secret_value(),
        connections=REPORTS_AT_ONCE,
        application_name="followthrough reports",
        plan_cache_mode="force_custom_plan",
    )
    reports, store = ReportRepository(report_engine), _object_store()
    # Of its own, so that upkeep, which takes its time, keeps no order waiting for a connection.
    upkeep_engine = create_engine(
        DatabaseSettings().database_url.get_secret_value(),
        connections=UPKEEP_CONNECTIONS,
        application_name="followthrough upkeep",
    )
    watch = Watch(AttentionRepository(upkeep_engine))
    cleanup = _cleanup(upkeep_engine, watch)
    watching = WatchActivities(watch, OrderWatch(upkeep_engine), WebhookHealth(upkeep_engine), client)
    digests = DigestActivities(
        _mailer(), _digest_writer(), DigestRepository(upkeep_engine), MailRepository(upkeep_engine)
    )
    reconciliation = ReconciliationActivities(
        payments.provider, BookedPaymentsRepository(upkeep_engine), AttentionRepository(upkeep_engine)
    )
    processes = JobProcesses(job_settings.process_memory_bytes)
    jobs = job_functions(
        ReportJobs(reports, OrdersReportWriter(OrderRows(report_engine), store)),
        CatalogueJobs(_mailer(), _merchandiser()),
        ImageJobs(ObjectStoreSettings().object_store_url, S3Access(**S3Settings().revealed)),
    )
    jobs_at_once = {queues.REPORTS: REPORTS_AT_ONCE, queues.CPU: job_settings.processes_at_once}
    batches = BatchActivities(BatchRepository(job_engine))
    handlers = {
        **account_outbox.handlers,
        **fan_out.handlers,
        **JobStarts(client, job_runs).handlers,
        **BatchStarts(client).handlers,
        **OrderRetries(client).handlers,
        OutboxKind.EVENT: in_turn(fan_out.event, account_outbox.order_event),
        OutboxKind.INBOUND_EVENT: inbound.handle,
    }
    # Of its own, too: rows that hang keep their connections.
    relay_engine = create_engine(
        DatabaseSettings().database_url.get_secret_value(),
        connections=RELAY_CONNECTIONS,
        application_name="followthrough outbox",
    )
    relay = OutboxRelay(Outbox(relay_engine), handlers, meter)

    order_activities: list[Callable[..., Any]] = [
        orders.reserve,
        orders.amend,
        orders.change_address,
        orders.approve,
        FraudActivities(books).check_fraud,
        orders.begin_undo,
        orders.finish_undo,
        orders.park,
        orders.retry,
        orders.resolve,
    ]
    payment_activities: list[Callable[..., Any]] = [payments.charge, payments.refund]
    shipping_activities: list[Callable[..., Any]] = [shipping.ship, shipping.cancel_shipment]

    def polling(task_queue: str, **how: Any) -> Worker | None:
        """None when this queue is left to other workers."""
        if task_queue not in polled:
            return None
        usual = {
            "interceptors": INTERCEPTORS,
            "max_heartbeat_throttle_interval": HEARTBEAT_INTERVAL,
            "default_heartbeat_throttle_interval": HEARTBEAT_INTERVAL,
            "graceful_shutdown_timeout": GRACEFUL_SHUTDOWN,
        }
        return Worker(client, task_queue=task_queue, **{**usual, **how})

    async with contextlib.AsyncExitStack() as running:
        running.push_async_callback(engine.dispose)
        running.push_async_callback(webhook_engine.dispose)
        running.push_async_callback(relay_engine.dispose)
        running.push_async_callback(job_engine.dispose)
        running.push_async_callback(report_engine.dispose)
        running.push_async_callback(upkeep_engine.dispose)
        running.callback(processes.close)
        threads = running.enter_context(ThreadPoolExecutor(job_settings.at_once * len(queues_of())))
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
            polling(task_queue=queues.PAYMENTS, activities=[*payment_activities, reconciliation.compare_payments]),
            polling(task_queue=queues.CARRIER, activities=[*shipping_activities, shipments.poll_shipment]),
            polling(
                task_queue=queues.SHIPMENTS,
                workflows=[ShipmentWorkflow],
                activities=[shipments.settle_shipment, shipments.report_overdue_shipment],
                workflow_runner=UnsandboxedWorkflowRunner(),
                sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
                max_cached_workflows=SHIPMENTS_CACHED,
            ),
            polling(
                task_queue=queues.ACCOUNTS,
                workflows=[WelcomeWorkflow, AccountMailWorkflow],
                activities=[accounts.expire_account],
                workflow_runner=UnsandboxedWorkflowRunner(),
                sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
            ),
            polling(
                task_queue=queues.MAIL,
                activities=[account_mails.send_account_mail, digests.send_digest],
                max_concurrent_activities=MAILS_AT_ONCE,
            ),
            polling(
                task_queue=queues.WEBHOOKS,
                workflows=[DeliveryWorkflow],
                activities=[deliveries.attempt_delivery, deliveries.give_up_delivery],
                workflow_runner=UnsandboxedWorkflowRunner(),
                sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
                max_concurrent_activities=WEBHOOKS_AT_ONCE,
            ),
            polling(
                task_queue=queues.SCHEDULES,
                workflows=UPKEEP,
                activities=[
                    ReportExpiry(reports, store).forget_reports,
                    cleanup.forget_jobs,
                    cleanup.forget_batches,
                    cleanup.forget_deliveries,
                    cleanup.empty_inbound_events,
                    cleanup.forget_sign_up_keys,
                    cleanup.forget_secrets,
                    cleanup.report_orphaned_reservations,
                    watching.report_stuck_orders,
                    watching.report_failing_webhooks,
                    watching.report_disabled_webhooks,
                ],
                workflow_runner=UnsandboxedWorkflowRunner(),
                max_concurrent_activities=UPKEEP_CONNECTIONS,
            ),
            polling(
                task_queue=queues.BATCHES,
                workflows=[JobBatchWorkflow],
                activities=[batches.release_batch, batches.cancel_batch],
                workflow_runner=UnsandboxedWorkflowRunner(),
                sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
                max_cached_workflows=BATCHES_CACHED,
            ),
            *(
                polling(
                    task_queue=queue,
                    activities=[processes.hosting(function) for function in jobs],
                    interceptors=[*INTERCEPTORS, JobBooks(job_runs)],
                    activity_executor=threads,
                    max_concurrent_activities=jobs_at_once.get(queue, job_settings.at_once),
                    max_task_queue_activities_per_second=rate_limit_of(queue),
                )
                for queue in queues_of()
            ),
        ):
            if worker is not None:
                await running.enter_async_context(worker)
        if queues.ORDERS not in polled:
            nothing = asyncio.create_task(_wait_for_ever())
            running.push_async_callback(_stop, nothing)
            yield nothing
            return
        receivers = [SystemReceiver(name, *configured) for name, configured in webhooks.receivers.items()]
        keeping = asyncio.create_task(keep_receivers(EndpointRepository(webhook_engine), receivers))
        running.push_async_callback(_stop, keeping)
        settling = asyncio.create_task(JobSettler(client, job_runs).run())
        running.push_async_callback(_stop, settling)
        relaying = asyncio.create_task(relay.run())
        running.push_async_callback(_stop, relaying)
        yield relaying


async def _wait_for_ever() -> None:
    await asyncio.Event().wait()


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _mailer() -> Mailer:
    settings = MailSettings()
    return Mailer(
        SmtpServer(
            host=settings.smtp_host,
            port=settings.smtp_port,
            tls=settings.smtp_security is SmtpSecurity.TLS,
            starttls=settings.smtp_security is SmtpSecurity.STARTTLS,
            username=settings.smtp_username,
            password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
            timeout_s=settings.smtp_timeout_s,
        )
    )


def _object_store() -> ObjectStore:
    return open_object_store(ObjectStoreSettings().object_store_url, S3Access(**S3Settings().revealed))


def _cleanup(engine: AsyncEngine, watch: Watch) -> CleanupActivities:
    settings = RetentionSettings()
    return CleanupActivities(
        CleanupRepository(engine),
        watch,
        jobs_kept=timedelta(days=settings.keep_jobs_days),
        deliveries_kept=timedelta(days=settings.keep_deliveries_days),
        inbound_bodies_kept=timedelta(days=settings.keep_inbound_bodies_days),
        sign_up_keys_kept=timedelta(days=settings.keep_sign_up_keys_days),
    )


def _digest_writer() -> DigestWriter | None:
    mail, to = MailSettings(), DigestSettings().digest_to
    return DigestWriter(sender=mail.mail_from, to=to, domain=mail.mail_domain) if to is not None else None


def _merchandiser() -> Merchandiser | None:
    address, mail = MerchandiserSettings().merchandiser_address, MailSettings()
    return Merchandiser(address=address, sender=mail.mail_from, domain=mail.mail_domain) if address else None


def _webhook_sender() -> WebhookSender:
    settings = WebhookSettings()
    return WebhookSender(
        WebhookUrlPolicy(https_only=settings.https_only, allowed_hosts=settings.allowed, ports=settings.port_ranges)
    )


def _account_mail_writer() -> AccountMailWriter:
    mail = MailSettings()
    return AccountMailWriter(
        sender=mail.mail_from,
        domain=mail.mail_domain,
        confirmation_url=mail.confirmation_url,
        confirmation_secret=ConfirmationSettings().confirmation_secret.get_secret_value(),
        link_lifetime=timedelta(seconds=WelcomeRules().expires_after_s),
    )
