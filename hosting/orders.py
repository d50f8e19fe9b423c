"""Orders and their shipments."""

from sqlalchemy.ext.asyncio import AsyncEngine

from activities.fraud import FraudActivities
from activities.order_retries import OrderRetries
from activities.orders import OrderActivities
from activities.payments import PaymentActivities
from activities.provider_calls import ProviderCaller
from activities.shipments import ShipmentActivities
from activities.shipping import ShippingActivities
from contracts import queues
from database.attention import AttentionRepository
from database.books import Books
from database.shipments import ShipmentRepository
from hosting.process import STICKY_TIMEOUT, Activities, Hosted, Process, TaskQueue
from providers.carrier import Carrier
from providers.payments import PaymentProvider
from settings import ProviderCalls, WorkerSettings
from workflows.orders import OrderWorkflow
from workflows.shipments import ShipmentWorkflow

# A backlog waits in Temporal, where waiting costs nothing, not here: each order under way has local activities to run
# within its workflow task's 2 s, and too many at once would miss that, and do their work again.
ORDERS_AT_ONCE = 20
# They wait for hours and have short histories: not worth the memory of the usual thousand.
SHIPMENTS_CACHED = 100


async def host_orders(process: Process, settings: WorkerSettings, engine: AsyncEngine) -> Hosted:
    """Poll for orders, for the calls of their providers, and for shipments."""
    books = Books(engine, process.metrics.order_committed)
    orders, fraud = OrderActivities(books), FraudActivities(books)
    payments_client = await process.http(settings.payments_url, settings.payments_api_key.get_secret_value())
    payment_provider = PaymentProvider(payments_client, timeout_s=settings.provider_timeout_s)
    payments = PaymentActivities(payment_provider, books, _caller(settings, books, process))
    carrier_client = await process.http(settings.carrier_url, settings.carrier_api_key.get_secret_value())
    carrier = Carrier(carrier_client, timeout_s=settings.provider_timeout_s)
    shipping = ShippingActivities(carrier, books, _caller(settings, books, process))
    shipments = ShipmentActivities(carrier, ShipmentRepository(engine), AttentionRepository(engine))

    booking: Activities = [
        orders.reserve,
        orders.amend,
        orders.change_address,
        orders.approve,
        fraud.check_fraud,
        orders.begin_undo,
        orders.finish_undo,
        orders.park,
        orders.retry,
        orders.resolve,
    ]
    paying: Activities = [payments.charge, payments.refund]
    sending: Activities = [shipping.ship, shipping.cancel_shipment]
    return Hosted(
        task_queues=[
            TaskQueue(
                queues.ORDERS,
                # The local tries of provider calls run here too.
                activities=[*booking, *paying, *sending],
                workflows=[OrderWorkflow],
                options={
                    "sticky_queue_schedule_to_start_timeout": STICKY_TIMEOUT,
                    "max_concurrent_workflow_tasks": ORDERS_AT_ONCE,
                },
            ),
            TaskQueue(queues.PAYMENTS, activities=paying),
            TaskQueue(queues.CARRIER, activities=[*sending, shipments.poll_shipment]),
            TaskQueue(
                queues.SHIPMENTS,
                activities=[shipments.settle_shipment, shipments.report_overdue_shipment],
                workflows=[ShipmentWorkflow],
                options={
                    "sticky_queue_schedule_to_start_timeout": STICKY_TIMEOUT,
                    "max_cached_workflows": SHIPMENTS_CACHED,
                },
            ),
        ],
        handlers=OrderRetries(process.client).handlers,
    )


def _caller(settings: WorkerSettings, books: Books, process: Process) -> ProviderCaller:
    """One for each provider: an outage of the one stops no calls of the other."""
    return ProviderCaller(
        books,
        try_locally=settings.provider_calls is ProviderCalls.LOCAL_FIRST,
        settling_window_s=settings.settling_window_s,
        metrics=process.metrics,
    )
