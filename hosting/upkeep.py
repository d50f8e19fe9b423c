"""What schedules start."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from activities.cleanup import CleanupActivities
from activities.digest import DigestActivities
from activities.email.digests import DigestWriter
from activities.reconciliation import ReconciliationActivities
from activities.watching import Watch, WatchActivities
from contracts import queues
from database.attention import AttentionRepository
from database.booked_payments import BookedPaymentsRepository
from database.cleanup import CleanupRepository
from database.digest import DigestRepository
from database.mails import MailRepository
from database.order_watch import OrderWatch
from database.webhook_health import WebhookHealth
from hosting.mail import mailer
from hosting.process import Hosted, Process, TaskQueue
from providers.payments import PaymentProvider
from settings import DigestSettings, MailSettings, RetentionSettings, WorkerSettings
from workflows.upkeep import UPKEEP

# Each does one thing after the other.
CONNECTIONS = 3


async def host_upkeep(process: Process, settings: WorkerSettings) -> Hosted:
    """Poll for runs of schedules."""
    # Of its own, so that upkeep, which takes its time, keeps no order waiting for a connection.
    engine = process.engine("upkeep", CONNECTIONS)
    attention = AttentionRepository(engine)
    watch = Watch(attention)
    cleanup = _cleanup(engine, watch)
    watching = WatchActivities(watch, OrderWatch(engine), WebhookHealth(engine), process.client)
    digests = DigestActivities(mailer(), _digest_writer(), DigestRepository(engine), MailRepository(engine))
    payments_client = await process.http(settings.payments_url, settings.payments_api_key.get_secret_value())
    provider = PaymentProvider(payments_client, timeout_s=settings.provider_timeout_s)
    reconciliation = ReconciliationActivities(provider, BookedPaymentsRepository(engine), attention)
    return Hosted(
        task_queues=[
            TaskQueue(
                queues.SCHEDULES,
                activities=[
                    cleanup.forget_jobs,
                    cleanup.forget_batches,
                    cleanup.forget_bulk_actions,
                    cleanup.forget_deliveries,
                    cleanup.empty_inbound_events,
                    cleanup.forget_sign_up_keys,
                    cleanup.forget_secrets,
                    cleanup.report_orphaned_reservations,
                    watching.report_stuck_orders,
                    watching.report_failing_webhooks,
                    watching.report_disabled_webhooks,
                ],
                workflows=UPKEEP,
                options={
                    "max_concurrent_activities": CONNECTIONS,
                },
            ),
            TaskQueue(queues.MAIL, activities=[digests.send_digest]),
            TaskQueue(queues.PAYMENTS, activities=[reconciliation.compare_payments]),
        ]
    )


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
