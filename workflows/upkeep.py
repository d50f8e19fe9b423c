"""What schedules start: each run does one round of upkeep, and says in a line what came of it."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from activities.cleanup import CleanupActivities
from activities.digest import DigestActivities
from activities.reconciliation import ReconciliationActivities
from activities.reports.expiry import ReportExpiry
from activities.watching import WatchActivities
from contracts import queues
from contracts.digest import DigestDay, DigestRules
from contracts.mail import MailOutcome
from contracts.upkeep import Cleaned, Period, Reconciled, Watched

Activities = TypeVar("Activities")
Input = TypeVar("Input")
Result = TypeVar("Result")

# docs/schedules.md gives the reason of each number.
NOMINAL_TIME = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")
# The memo in which a run leaves word.
SUMMARY = "summary"
HEARTBEAT_TIMEOUT = timedelta(seconds=2)
CLEANING_TRY = timedelta(minutes=10)
LOOKING_TRY = timedelta(seconds=30)
COMPARING_TRY = timedelta(minutes=4)
DIGEST_TRY = timedelta(seconds=60)
DIGEST_WITHIN = timedelta(hours=20)
COMPARED = timedelta(hours=1)
# What is not there yet is compared by the next run; a nominal time, without its fractions, is in the past.
UNTIL_THE_NEXT = timedelta(minutes=5)
RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30), maximum_attempts=4)
DIGEST_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=5))

# Reports go before the jobs that wrote them, and batches after theirs.
CLEANING: tuple[Callable[[Any, datetime], Awaitable[Cleaned | Watched]], ...] = (
    ReportExpiry.forget_reports,
    CleanupActivities.forget_jobs,
    CleanupActivities.forget_batches,
    CleanupActivities.forget_deliveries,
    CleanupActivities.empty_inbound_events,
    CleanupActivities.forget_sign_up_keys,
    CleanupActivities.forget_secrets,
    CleanupActivities.report_orphaned_reservations,
)


def nominal_time() -> datetime:
    """The time that a run is for: a backfilled one has one of long ago, one started by hand that of its start."""
    return workflow.info().typed_search_attributes.get(NOMINAL_TIME) or workflow.info().start_time


def leave_word(summary: str) -> None:
    """Say in a line what came of this run, where `GET /v1/admin/schedules` and the Web UI show it."""
    workflow.upsert_memo({SUMMARY: summary})


async def do(
    activity: Callable[[Activities, Input], Awaitable[Result]],
    given: Input,
    *,
    try_for: timedelta,
    queue: str = queues.SCHEDULES,
    within: timedelta | None = None,
    retries: RetryPolicy = RETRIES,
) -> Result:
    """One step of a run. Raises ApplicationError upkeep_failed when it failed for good."""
    try:
        return await workflow.execute_activity_method(
            activity,
            given,
            task_queue=queue,
            start_to_close_timeout=try_for,
            schedule_to_close_timeout=within,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=retries,
        )
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise
        what = error.activity_type
        raise ApplicationError(f"{what} failed: {_first_line(error)}", type="upkeep_failed") from error


async def do_alone(activity: Callable[[Activities, Input], Awaitable[Result]], given: Input, **options: Any) -> Result:
    """The only step of a run, which leaves word of it."""
    try:
        result = await do(activity, given, **options)
    except ApplicationError as error:
        leave_word(error.message)
        raise
    leave_word(str(result))
    return result


def _first_line(error: ActivityError) -> str:
    return str(error.cause or error).partition("\n")[0][:200]


@workflow.defn(name="CleanupExpired")
class CleanupExpiredWorkflow:
    """Deletes what is past its time, and reports stock that is held by orders which are over."""

    @workflow.run
    async def run(self) -> list[str]:
        """What was cleaned does not depend on what could not be."""
        done: list[str] = []
        failed: list[str] = []
        # Runs that began before there were any have not asked for it.
        cleaning = CLEANING
        if workflow.patched("bulk-actions-are-forgotten"):
            cleaning = (*CLEANING, CleanupActivities.forget_bulk_actions)
        for activity in cleaning:
            try:
                done.append(str(await do(activity, workflow.now(), try_for=CLEANING_TRY)))
            except ApplicationError as error:
                failed.append(error.message)
        leave_word("; ".join([*failed, *done]))
        if failed:
            raise ApplicationError("; ".join(failed), type="upkeep_failed")
        return done


@workflow.defn(name="DailyDigest")
class DailyDigestWorkflow:
    """Tells operators what the day before brought."""

    @workflow.run
    async def run(self, rules: DigestRules) -> MailOutcome:
        return await do_alone(
            DigestActivities.send_digest,
            DigestDay.before(nominal_time(), rules),
            queue=queues.MAIL,
            try_for=DIGEST_TRY,
            within=DIGEST_WITHIN,
            retries=DIGEST_RETRIES,
        )


@workflow.defn(name="ReconcilePayments")
class ReconcilePaymentsWorkflow:
    """Compares our books with the payment provider's."""

    @workflow.run
    async def run(self) -> Reconciled:
        at = nominal_time()
        return await do_alone(
            ReconciliationActivities.compare_payments,
            Period(since=at - COMPARED, until=at + UNTIL_THE_NEXT),
            queue=queues.PAYMENTS,
            try_for=COMPARING_TRY,
        )


@workflow.defn(name="WebhookHealth")
class WebhookHealthWorkflow:
    """Reports webhook endpoints that fail or were disabled."""

    @workflow.run
    async def run(self) -> list[Watched]:
        try:
            found = [
                await do(WatchActivities.report_failing_webhooks, workflow.now(), try_for=LOOKING_TRY),
                await do(WatchActivities.report_disabled_webhooks, workflow.now(), try_for=LOOKING_TRY),
            ]
        except ApplicationError as error:
            leave_word(error.message)
            raise
        leave_word("; ".join(map(str, found)))
        return found


@workflow.defn(name="StuckOrders")
class StuckOrdersWorkflow:
    """Reports orders that stand still for longer than their own time-outs allow."""

    @workflow.run
    async def run(self) -> Watched:
        return await do_alone(WatchActivities.report_stuck_orders, workflow.now(), try_for=LOOKING_TRY)


UPKEEP = (
    CleanupExpiredWorkflow,
    DailyDigestWorkflow,
    ReconcilePaymentsWorkflow,
    WebhookHealthWorkflow,
    StuckOrdersWorkflow,
)
