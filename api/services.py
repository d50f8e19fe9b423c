"""What one API process keeps open, and what it offers its routes: made once, shared by every request."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client, Interceptor
from temporalio.converter import PayloadCodec
from temporalio.service import GrpcCompression, PayloadLimitsConfig, RetryConfig

from api.account_keeping import AccountKeeper
from api.attention_feed import AttentionFeed, NeedsAttention
from api.attention_reading import needs_attention
from api.bulk_keeping import BulkKeeper
from api.catalogue_cache import CatalogueCache
from api.dead_letter_keeping import DeadLetterKeeper
from api.inbound_receiving import InboundReceiver
from api.job_batch_keeping import BatchKeeper
from api.job_feed import JobFeed
from api.job_keeping import JobKeeper
from api.metrics import pools_shown
from api.order_commands import OrderCommands
from api.order_exporting import OrderExporter
from api.order_feed import OrderFeed, running_feed
from api.order_placing import OrderPlacer
from api.order_reading import OrderReader
from api.queue_keeping import QueueKeeper
from api.readiness import Readiness
from api.report_downloads import ReportDownloads
from api.report_keeping import ReportKeeper
from api.schedule_keeping import ScheduleKeeper
from api.state_metrics import StateMetrics, shown
from api.temporal_links import TemporalLinks
from api.webhook_keeping import WebhookKeeper
from contracts.orders import OrderRules
from database.accounts import AccountRepository
from database.attention import AttentionRepository
from database.audit import AuditLog
from database.bulk import BulkRepository
from database.catalogue import Catalogue
from database.dead_letters import DeadLetters
from database.engine import create_engine
from database.fraud import FraudRepository
from database.inbound import InboundRepository
from database.job_batches import BatchRepository
from database.job_runs import JobRuns
from database.jobs import JobRepository
from database.mails import MailRepository
from database.order_events import OrderEvents
from database.order_figures import OrderCounts
from database.order_rows import OrderRows
from database.orders import OrderRepository
from database.reports import ReportRepository
from database.tallies import Tallies
from database.webhook_deliveries import DeliveryRepository
from database.webhook_endpoints import EndpointRepository
from payloads import data_converter
from providers.object_store import ObjectStore, S3Access, open_object_store
from providers.webhook_urls import WebhookUrlPolicy
from settings import (
    ApiSettings,
    ConfirmationSettings,
    DatabaseSettings,
    MerchandiserSettings,
    ObjectStoreSettings,
    OrderSettings,
    PayloadSettings,
    S3Settings,
    ScheduleSettings,
    TemporalSettings,
    WebhookSettings,
)
from workflows.schedules import schedules

# A client waits for us: better a quick 503 than many attempts.
TEMPORAL_RETRIES = RetryConfig(initial_interval_millis=50, max_elapsed_time_millis=2_000, max_retries=4)
# Each export uses one while it reads a page.
EXPORT_CONNECTIONS = 2
MEMO_WARN_BYTES = 256 * 1024


@dataclass(frozen=True)
class Services:
    """What routes call."""

    reader: OrderReader
    placer: OrderPlacer
    commands: OrderCommands
    feed: OrderFeed
    exporter: OrderExporter
    catalogue: Catalogue
    catalogue_cache: CatalogueCache
    merchandiser_is_mailed: bool
    fraud: FraudRepository
    readiness: Readiness
    accounts: AccountKeeper
    inbound: InboundReceiver
    webhooks: WebhookKeeper
    jobs: JobKeeper
    reports: ReportKeeper
    downloads: ReportDownloads
    schedules: ScheduleKeeper
    attention: AttentionRepository
    attention_feed: AttentionFeed
    job_feed: JobFeed
    batches: BatchKeeper
    dead_letters: DeadLetterKeeper
    queues: QueueKeeper
    payload_codec: PayloadCodec | None
    tallies: Tallies
    order_counts: OrderCounts
    temporal_links: TemporalLinks
    bulks: BulkKeeper
    mails: MailRepository


@asynccontextmanager
async def open_services(settings: ApiSettings, interceptors: Sequence[Interceptor]) -> AsyncIterator[Services]:
    """Open the pools, one Temporal client and one feed. None needs what it connects to, so that may be away."""
    database_url = DatabaseSettings().database_url.get_secret_value()
    # The best plan of a list depends on how many orders a filter's very value leaves.
    engine = create_engine(
        database_url,
        connections=settings.api_database_connections,
        application_name="followthrough api",
        plan_cache_mode="force_custom_plan",
    )
    # Of their own: however many exports there are, no other request waits for a connection because of them.
    exporting = create_engine(
        database_url,
        connections=EXPORT_CONNECTIONS,
        application_name="followthrough api: exports",
        plan_cache_mode="force_custom_plan",
    )
    # Its connection is kept for listening, and requests don't wait for it.
    listening = create_engine(database_url, connections=1, application_name="followthrough api: order events")
    temporal = TemporalSettings()
    client = await Client.connect(
        temporal.address,
        **temporal.access,
        data_converter=data_converter(PayloadSettings().keys),
        retry_config=TEMPORAL_RETRIES,
        # An order is a few kilobytes: compressing them would take both ends longer than sending them.
        grpc_compression=GrpcCompression.NONE,
        # The memo of an order of 100 lines is larger than the SDK thinks usual; the server takes up to 2 MiB.
        payload_limits=PayloadLimitsConfig(memo_warn_size=MEMO_WARN_BYTES),
        interceptors=interceptors,
        lazy=True,
    )
    try:
        async with running_feed(OrderEvents(listening)) as feed:
            services = _services(engine, exporting, client, feed, settings)
            state = StateMetrics(services.tallies, DeadLetters(engine), services.queues, services.schedules)
            with pools_shown({"api": engine, "exports": exporting}):
                async with shown(state):
                    yield services
    finally:
        await engine.dispose()
        await exporting.dispose()
        await listening.dispose()


def _services(
    engine: AsyncEngine, exporting: AsyncEngine, client: Client, feed: OrderFeed, settings: ApiSettings
) -> Services:
    rules = OrderRules.model_validate(OrderSettings().model_dump())
    repository, catalogue = OrderRepository(engine), Catalogue(engine)
    planned = ScheduleSettings()
    reader = OrderReader(repository, client)
    jobs = JobRepository(engine)
    job_keeper = JobKeeper(jobs, JobRuns(engine), client)
    commands = OrderCommands(reader)
    audit, letters = AuditLog(engine), DeadLetters(engine)
    attention = AttentionRepository(engine)
    dead_letters = DeadLetterKeeper(letters, audit, commands)

    async def look_for_attention() -> NeedsAttention:
        return await needs_attention(dead_letters, attention)

    return Services(
        reader=reader,
        placer=OrderPlacer(repository, client, reader, rules),
        commands=commands,
        feed=feed,
        exporter=OrderExporter(OrderRows(exporting)),
        catalogue=catalogue,
        catalogue_cache=CatalogueCache(catalogue),
        merchandiser_is_mailed=MerchandiserSettings().merchandiser_address is not None,
        fraud=FraudRepository(engine),
        readiness=Readiness(engine, client),
        accounts=AccountKeeper(
            AccountRepository(engine),
            client,
            confirmation_secret=ConfirmationSettings().confirmation_secret.get_secret_value(),
        ),
        inbound=InboundReceiver(
            InboundRepository(engine),
            payments_secret=settings.payments_webhook_secret,
            carrier_secret=settings.carrier_webhook_secret,
        ),
        webhooks=WebhookKeeper(EndpointRepository(engine), DeliveryRepository(engine), _webhook_urls()),
        jobs=job_keeper,
        reports=ReportKeeper(ReportRepository(engine), jobs, job_keeper),
        downloads=ReportDownloads(_object_store()),
        schedules=ScheduleKeeper(
            client, schedules(digest_at=planned.digest_time, digest_zone=planned.digest_zone), audit
        ),
        attention=attention,
        attention_feed=AttentionFeed(look_for_attention),
        job_feed=JobFeed(job_keeper.state_of),
        batches=BatchKeeper(BatchRepository(engine)),
        payload_codec=client.data_converter.payload_codec,
        dead_letters=dead_letters,
        queues=QueueKeeper(client),
        tallies=Tallies(engine),
        order_counts=OrderCounts(engine),
        temporal_links=TemporalLinks(settings.temporal_ui_url, client.namespace),
        bulks=BulkKeeper(BulkRepository(engine), letters),
        mails=MailRepository(engine),
    )


def _object_store() -> ObjectStore:
    return open_object_store(ObjectStoreSettings().object_store_url, S3Access(**S3Settings().revealed))


def _webhook_urls() -> WebhookUrlPolicy:
    settings = WebhookSettings()
    return WebhookUrlPolicy(https_only=settings.https_only, allowed_hosts=settings.allowed, ports=settings.port_ranges)
