"""What a worker counts. Prometheus reads it where the Temporal SDK shows its own metrics.

Everything is counted by activities and their bookings, once it is committed: no replay of a workflow counts anything.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING

from temporalio.common import MetricMeter

from contracts.failures import FailureCode
from contracts.job_types import JOB_TYPES
from contracts.mail import MailOutcome
from contracts.orders import EventType, OrderStatus
from contracts.steps import StepName

if TYPE_CHECKING:
    from database.open_order import OpenOrder

# What an order without a failure has for a code: Prometheus takes an empty label for none.
NO_FAILURE = "none"
FAILED_AS = (OrderStatus.PARTIALLY_COMPLETED, OrderStatus.CANCELLED, OrderStatus.REJECTED)
INTERRUPTED = "interrupted"
CALL_OUTCOMES = ("succeeded", "refused", "failed", "silent", "unclear", INTERRUPTED)
JOB_OUTCOMES = ("succeeded", "failed", "retried", "cancelled", INTERRUPTED)
WEBHOOK_OUTCOMES = ("succeeded", "refused", "failed", "unreachable", "not_allowed")
DELIVERY_OUTCOMES = ("succeeded", "failed")
MAIL_OUTCOMES = (MailOutcome.SENT, MailOutcome.BOUNCED, "deferred")
PROVIDER_STEPS = tuple(step for step in StepName if step is not StepName.CHECK_FRAUD)

_QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SLOW = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, 86_400.0)
# In seconds, by the histogram's name: the runtime that serves them wants to know it beforehand.
BUCKETS = {
    "followthrough_order_seconds": _SLOW,
    "followthrough_order_step_seconds": _SLOW,
    "followthrough_provider_call_seconds": _QUICK,
    "followthrough_job_attempt_seconds": _SLOW,
    "followthrough_webhook_attempt_seconds": _QUICK,
    "followthrough_event_loop_blocked_seconds": (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
}


class Attempt:
    """Something while it is tried. `outcome` is what it will be counted as: interrupted, when nobody says more."""

    outcome: str = INTERRUPTED


class WorkerMetrics:
    """Every label is of a fixed, short list: no ids, no customers, no goods.

    What can be counted is shown as 0 until it happens, so that the first one is a rise. Counters get their `_total`
    from the runtime.
    """

    def __init__(self, meter: MetricMeter) -> None:
        self._events = meter.create_counter("followthrough_order_events", "Events of orders' timelines")
        self._closed = meter.create_counter("followthrough_orders_closed", "Orders that ended, with their failure")
        self._calls = meter.create_counter("followthrough_provider_calls", "Attempts of calls to providers")
        self._job_attempts = meter.create_counter("followthrough_job_attempts", "Attempts of jobs")
        self._webhooks = meter.create_counter("followthrough_webhook_attempts", "Attempts of webhook deliveries")
        self._deliveries = meter.create_counter("followthrough_webhook_deliveries", "Webhook deliveries that ended")
        self._mails = meter.create_counter("followthrough_mails", "What the mail server said of mails to accounts")
        self._blocks = meter.create_counter("followthrough_event_loop_blocks", "How often the event loop was blocked")
        self._order_seconds = meter.create_histogram_float(
            "followthrough_order_seconds", "From an order's acceptance to its end"
        )
        self._step_seconds = meter.create_histogram_float(
            "followthrough_order_step_seconds", "From the announcement of a step to its settlement"
        )
        self._call_seconds = meter.create_histogram_float(
            "followthrough_provider_call_seconds", "Time until a provider answered, or was given up"
        )
        self._job_seconds = meter.create_histogram_float(
            "followthrough_job_attempt_seconds", "How long the attempts of jobs took"
        )
        self._webhook_seconds = meter.create_histogram_float(
            "followthrough_webhook_attempt_seconds", "Time until a receiver answered, or was given up"
        )
        self._blocked_seconds = meter.create_histogram_float(
            "followthrough_event_loop_blocked_seconds", "For how long the event loop was blocked"
        )
        self._used = meter.create_gauge("followthrough_database_connections_used", "Connections handed out by a pool")
        self._limit = meter.create_gauge("followthrough_database_connections_limit", "Connections a pool may have")
        self._show_what_may_happen()

    def _show_what_may_happen(self) -> None:
        for event in EventType:
            self._events.add(0, {"type": event})
        self._closed.add(0, {"status": OrderStatus.COMPLETED, "failure": NO_FAILURE})
        for status in FAILED_AS:
            for code in FailureCode:
                self._closed.add(0, {"status": status, "failure": code})
        for step in PROVIDER_STEPS:
            for outcome in CALL_OUTCOMES:
                self._calls.add(0, {"operation": step, "outcome": outcome})
        for job_type in JOB_TYPES:
            for outcome in JOB_OUTCOMES:
                self._job_attempts.add(0, {"type": job_type, "outcome": outcome})
        for outcome in WEBHOOK_OUTCOMES:
            self._webhooks.add(0, {"outcome": outcome})
        for outcome in DELIVERY_OUTCOMES:
            self._deliveries.add(0, {"outcome": outcome})
        for outcome in MAIL_OUTCOMES:
            self._mails.add(0, {"outcome": outcome})
        self._blocks.add(0)

    def order_committed(self, order: "OpenOrder") -> None:
        """Count what a transaction has added to an order: the books do each thing once, however often it is tried."""
        for key in order.added.events:
            self._events.add(1, {"type": order.events[key].type})
            if order.status.is_final and key == order.status:
                failure = order.failure.code if order.failure else NO_FAILURE
                self._closed.add(1, {"status": order.status, "failure": failure})
                took = order.updated_at - order.events[EventType.ACCEPTED].at
                self._order_seconds.record(max(0.0, took.total_seconds()), {"status": order.status})
        for step in (order.steps_by_id[name] for name in order.added.steps):
            if step.outcome is not None:
                took = datetime.now(UTC) - step.begun_at
                labels = {"step": step.name, "outcome": step.outcome}
                self._step_seconds.record(max(0.0, took.total_seconds()), labels)

    @contextmanager
    def provider_call(self, operation: StepName) -> Iterator[Attempt]:
        """Around one attempt."""
        call, began = Attempt(), perf_counter()
        try:
            yield call
        finally:
            self._calls.add(1, {"operation": operation, "outcome": call.outcome})
            self._call_seconds.record(perf_counter() - began, {"operation": operation})

    @contextmanager
    def job_attempt(self, job_type: str) -> Iterator[Attempt]:
        """Around one attempt."""
        attempt, began = Attempt(), perf_counter()
        try:
            yield attempt
        finally:
            self._job_attempts.add(1, {"type": job_type, "outcome": attempt.outcome})
            self._job_seconds.record(perf_counter() - began, {"type": job_type})

    def webhook_attempt(self, outcome: str, seconds: float) -> None:
        self._webhooks.add(1, {"outcome": outcome})
        self._webhook_seconds.record(seconds)

    def webhook_delivery(self, outcome: str) -> None:
        """Count a delivery that ended."""
        self._deliveries.add(1, {"outcome": outcome})

    def mail(self, outcome: str) -> None:
        self._mails.add(1, {"outcome": outcome})

    def event_loop_blocked(self, seconds: float) -> None:
        self._blocks.add(1)
        self._blocked_seconds.record(seconds)

    def pool(self, name: str, *, used: int, limit: int) -> None:
        """Set how many connections of a pool are in use now."""
        self._used.set(used, {"pool": name})
        self._limit.set(limit, {"pool": name})


# For those that nobody scrapes, such as the activities that a test calls.
UNSEEN = WorkerMetrics(MetricMeter.noop)
