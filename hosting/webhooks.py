"""Webhooks: those that we send, and what follows from those that providers send us."""

from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from activities.carrier_events import CarrierEvents
from activities.inbound import InboundEvents
from activities.payment_events import PaymentEvents
from activities.webhook_fan_out import WebhookFanOut
from activities.webhook_receivers import SystemReceiver, keep_receivers
from activities.webhooks import WebhookActivities
from contracts import queues
from contracts.outbox import OutboxKind
from database.attention import AttentionRepository
from database.books import Books
from database.inbound import InboundRepository
from database.shipments import ShipmentRepository
from database.webhook_attempts import AttemptRepository
from database.webhook_deliveries import DeliveryRepository
from database.webhook_endpoints import EndpointRepository
from hosting.process import STICKY_TIMEOUT, Hosted, Process, TaskQueue
from providers.webhook_sender import WebhookSender
from providers.webhook_urls import WebhookUrlPolicy
from settings import WebhookSettings, WebhookWorkerSettings
from workflows.delivery import DeliveryWorkflow

# They mostly wait for receivers. One that never answers takes ten of these at most.
WEBHOOKS_AT_ONCE = 500


def host_webhooks(process: Process) -> Hosted:
    """Poll for deliveries, begin them, and keep the receivers that are configured."""
    settings = WebhookWorkerSettings()
    # Of their own: however many webhooks there are, no order waits for a connection because of them.
    engine = process.engine("webhooks", settings.database_connections)
    deliveries = WebhookActivities(AttemptRepository(engine), _sender(), process.metrics)
    fan_out = WebhookFanOut(process.client, DeliveryRepository(engine))
    receivers = [SystemReceiver(name, *configured) for name, configured in settings.receivers.items()]
    return Hosted(
        task_queues=[
            TaskQueue(
                queues.WEBHOOKS,
                activities=[deliveries.attempt_delivery, deliveries.give_up_delivery],
                workflows=[DeliveryWorkflow],
                options={
                    "sticky_queue_schedule_to_start_timeout": STICKY_TIMEOUT,
                    "max_concurrent_activities": WEBHOOKS_AT_ONCE,
                },
            )
        ],
        handlers={**fan_out.handlers, OutboxKind.EVENT: fan_out.event},
        beside=[partial(keep_receivers, EndpointRepository(engine), receivers)],
    )


def host_inbound_events(process: Process, engine: AsyncEngine) -> Hosted:
    """Do what follows from providers' webhooks."""
    books = Books(engine, process.metrics.order_committed)
    payments = PaymentEvents(books, AttentionRepository(engine), process.client)
    carrier = CarrierEvents(ShipmentRepository(engine), process.client)
    inbound = InboundEvents(InboundRepository(engine), payments, carrier)
    return Hosted(handlers={OutboxKind.INBOUND_EVENT: inbound.handle})


def _sender() -> WebhookSender:
    settings = WebhookSettings()
    return WebhookSender(
        WebhookUrlPolicy(https_only=settings.https_only, allowed_hosts=settings.allowed, ports=settings.port_ranges)
    )
