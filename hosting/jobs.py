"""Background jobs, batches of them, and the reports that some of them write."""

from concurrent.futures import ThreadPoolExecutor

from activities.jobs.batch_settling import BatchSettler
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
from activities.reports.expiry import ReportExpiry
from activities.reports.orders import OrdersReportWriter
from contracts import queues
from database.job_batches import BatchRepository
from database.job_runs import JobRuns
from database.order_rows import OrderRows
from database.reports import ReportRepository
from hosting.mail import mailer
from hosting.process import STICKY_TIMEOUT, Hosted, Process, TaskQueue
from providers.object_store import S3Access, open_object_store
from settings import JobSettings, MailSettings, MerchandiserSettings, ObjectStoreSettings, S3Settings
from workflows.job_batches import JobBatchWorkflow

# Each has up to 10 MB in memory, and keeps a connection to Postgres busy.
REPORTS_AT_ONCE = 2
BATCHES_CACHED = 100


def host_jobs(process: Process) -> Hosted:
    """Poll for jobs of every type and for batches, begin them, and settle what nobody has told the end of."""
    settings = JobSettings()
    engine = process.engine("jobs", settings.database_connections)
    # Of their own: however long reports read, no job waits for a connection because of them.
    report_engine = process.engine("reports", REPORTS_AT_ONCE, plan_cache_mode="force_custom_plan")
    store_url, access = ObjectStoreSettings().object_store_url, S3Access(**S3Settings().revealed)
    store = open_object_store(store_url, access)
    reports = ReportRepository(report_engine)
    functions = job_functions(
        ReportJobs(reports, OrdersReportWriter(OrderRows(report_engine), store)),
        CatalogueJobs(mailer(), _merchandiser()),
        ImageJobs(store_url, access),
    )
    processes = JobProcesses(settings.process_memory_bytes)
    process.running.callback(processes.close)
    threads = process.running.enter_context(ThreadPoolExecutor(settings.at_once * len(queues_of())))
    runs = JobRuns(engine)
    at_once = {queues.REPORTS: REPORTS_AT_ONCE, queues.CPU: settings.processes_at_once}
    batch_repository = BatchRepository(engine)
    batches = BatchActivities(batch_repository)
    return Hosted(
        task_queues=[
            *(
                TaskQueue(
                    queue,
                    activities=[processes.hosting(function) for function in functions],
                    options={
                        "interceptors": [JobBooks(runs, process.metrics)],
                        "activity_executor": threads,
                        "max_concurrent_activities": at_once.get(queue, settings.at_once),
                        "max_task_queue_activities_per_second": rate_limit_of(queue),
                    },
                )
                for queue in queues_of()
            ),
            TaskQueue(
                queues.BATCHES,
                activities=[batches.release_batch, batches.cancel_batch],
                workflows=[JobBatchWorkflow],
                options={
                    "sticky_queue_schedule_to_start_timeout": STICKY_TIMEOUT,
                    "max_cached_workflows": BATCHES_CACHED,
                },
            ),
            TaskQueue(queues.SCHEDULES, activities=[ReportExpiry(reports, store).forget_reports]),
        ],
        handlers={**JobStarts(process.client, runs).handlers, **BatchStarts(process.client).handlers},
        beside=[JobSettler(process.client, runs).run, BatchSettler(process.client, batch_repository).run],
    )


def _merchandiser() -> Merchandiser | None:
    address, mail = MerchandiserSettings().merchandiser_address, MailSettings()
    return Merchandiser(address=address, sender=mail.mail_from, domain=mail.mail_domain) if address else None
