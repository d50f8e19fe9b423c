"""Every schedule there is. `followthrough migrate` makes Temporal's the same; docs/schedules.md gives the reasons."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time, timedelta
from typing import Any

from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
)
from temporalio.converter import DataConverter

from contracts import queues
from contracts.digest import DigestRules
from workflows.upkeep import (
    CleanupExpiredWorkflow,
    DailyDigestWorkflow,
    ReconcilePaymentsWorkflow,
    StuckOrdersWorkflow,
    WebhookHealthWorkflow,
)

# A schedule without this memo is somebody else's, and is let alone.
MEMO = {"declared_in": "workflows/schedules.py"}
# As it is kept: never encrypted, since a memo cannot be written anew when its key is replaced.
KEPT_MEMO = {name: DataConverter.default.payload_converter.to_payload(value) for name, value in MEMO.items()}


@dataclass(frozen=True)
class DeclaredSchedule:
    """One schedule: which workflow it starts when (`when` says it in words), and what holds for its runs.

    `overlap` says what becomes of a run that is due while the one before still runs, `catch_up` how late a run may
    begin after Temporal was away, `jitter` by how much runs are spread, and `run_within` when one that does not end
    has failed.
    """

    name: str
    when: str
    workflow: Any
    spec: ScheduleSpec
    overlap: ScheduleOverlapPolicy
    catch_up: timedelta
    jitter: timedelta
    run_within: timedelta
    arguments: tuple[Any, ...] = ()

    @property
    def schedule(self) -> Schedule:
        """As Temporal is to have it."""
        return Schedule(
            action=ScheduleActionStartWorkflow(
                self.workflow.run,
                args=self.arguments,
                id=self.name,
                task_queue=queues.SCHEDULES,
                execution_timeout=self.run_within,
            ),
            spec=ScheduleSpec(
                calendars=self.spec.calendars,
                intervals=self.spec.intervals,
                time_zone_name=self.spec.time_zone_name,
                jitter=self.jitter,
            ),
            policy=SchedulePolicy(overlap=self.overlap, catchup_window=self.catch_up),
        )


def schedules(*, digest_at: time, digest_zone: str) -> Sequence[DeclaredSchedule]:
    """All of them. The digest of a day comes at a time of the next one that no change of clocks skips or repeats."""
    return (
        DeclaredSchedule(
            name="cleanup-expired",
            when="every hour",
            workflow=CleanupExpiredWorkflow,
            spec=_every(timedelta(hours=1)),
            overlap=ScheduleOverlapPolicy.SKIP,
            catch_up=timedelta(minutes=10),
            jitter=timedelta(minutes=5),
            run_within=timedelta(hours=2),
        ),
        DeclaredSchedule(
            name="daily-digest",
            when=f"every day at {digest_at:%H:%M} in {digest_zone}",
            workflow=DailyDigestWorkflow,
            spec=_daily(digest_at, digest_zone),
            overlap=ScheduleOverlapPolicy.BUFFER_ALL,
            catch_up=timedelta(days=3),
            jitter=timedelta(),
            run_within=timedelta(hours=22),
            arguments=(DigestRules(zone=digest_zone),),
        ),
        DeclaredSchedule(
            name="reconcile-payments",
            when="every 5 minutes",
            workflow=ReconcilePaymentsWorkflow,
            spec=_every(timedelta(minutes=5)),
            overlap=ScheduleOverlapPolicy.SKIP,
            catch_up=timedelta(hours=1),
            jitter=timedelta(seconds=30),
            run_within=timedelta(minutes=20),
        ),
        DeclaredSchedule(
            name="webhook-health",
            when="every 15 minutes",
            workflow=WebhookHealthWorkflow,
            spec=_every(timedelta(minutes=15)),
            overlap=ScheduleOverlapPolicy.SKIP,
            catch_up=timedelta(minutes=1),
            jitter=timedelta(minutes=1),
            run_within=timedelta(minutes=15),
        ),
        DeclaredSchedule(
            name="stuck-orders",
            when="every 5 minutes",
            workflow=StuckOrdersWorkflow,
            spec=_every(timedelta(minutes=5)),
            overlap=ScheduleOverlapPolicy.SKIP,
            catch_up=timedelta(minutes=1),
            jitter=timedelta(seconds=30),
            run_within=timedelta(minutes=5),
        ),
    )


def _every(interval: timedelta) -> ScheduleSpec:
    return ScheduleSpec(intervals=[ScheduleIntervalSpec(every=interval)])


def _daily(at: time, zone: str) -> ScheduleSpec:
    hour, minute = (ScheduleRange(number) for number in (at.hour, at.minute))
    return ScheduleSpec(calendars=[ScheduleCalendarSpec(hour=[hour], minute=[minute])], time_zone_name=zone)
