"""A schedule as operators see it: what the code says, what Temporal has, and what came of its runs."""

from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, Field
from temporalio.client import ScheduleDescription, WorkflowExecution, WorkflowExecutionStatus

from workflows.schedules import DeclaredSchedule
from workflows.upkeep import NOMINAL_TIME, SUMMARY

SHOWN_TIMES = 5
MISSING = "missing"


class RunOutcome(StrEnum):
    """What became of a run; `timed_out` did not end within `run_within_s`."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"

    @classmethod
    def of(cls, status: WorkflowExecutionStatus | None) -> Self:
        match status:
            case WorkflowExecutionStatus.COMPLETED:
                return cls("succeeded")
            case WorkflowExecutionStatus.FAILED:
                return cls("failed")
            case WorkflowExecutionStatus.TIMED_OUT:
                return cls("timed_out")
            case WorkflowExecutionStatus.CANCELED | WorkflowExecutionStatus.TERMINATED:
                return cls("cancelled")
            case _:
                return cls("running")


class RunResource(BaseModel, frozen=True):
    """One run. `scheduled_for` is the time it was for, before jitter; that of a backfilled one is long ago."""

    scheduled_for: datetime
    started_at: datetime
    finished_at: datetime | None
    outcome: RunOutcome
    summary: str | None = Field(description="what came of it, or what went wrong", examples=["0 stuck orders"])
    workflow_id: str = Field(examples=["stuck-orders-2026-03-01T12:00:00Z"])
    run_id: str

    @classmethod
    async def of(cls, execution: WorkflowExecution) -> Self:
        return cls(
            scheduled_for=execution.typed_search_attributes.get(NOMINAL_TIME) or execution.start_time,
            started_at=execution.start_time,
            finished_at=execution.close_time,
            outcome=RunOutcome.of(execution.status),
            summary=(await execution.memo()).get(SUMMARY),
            workflow_id=execution.id,
            run_id=execution.run_id,
        )


class ScheduleResource(BaseModel, frozen=True):
    """One schedule. `overlap`, `catch_up_s`, `jitter_s` and `when` are what the code says; `drift` is what differs."""

    name: str = Field(examples=["stuck-orders"])
    when: str = Field(examples=["every 5 minutes"])
    paused: bool
    note: str | None = Field(description="what was said when it was paused, or resumed")
    overlap: str = Field(examples=["skip"])
    catch_up_s: int
    jitter_s: int
    run_within_s: int
    next_runs: tuple[datetime, ...]
    last_runs: tuple[RunResource, ...]
    drift: tuple[str, ...] = Field(
        description="the parts in which Temporal's schedule differs from the code: until the next `migrate`",
        examples=[["jitter"]],
    )

    @classmethod
    def of(
        cls,
        declared: DeclaredSchedule,
        found: ScheduleDescription | None,
        runs: tuple[RunResource, ...],
        drift: tuple[str, ...],
    ) -> Self:
        return cls(
            name=declared.name,
            when=declared.when,
            paused=found.schedule.state.paused if found else False,
            note=found.schedule.state.note if found else None,
            overlap=declared.overlap.name.lower(),
            catch_up_s=int(declared.catch_up.total_seconds()),
            jitter_s=int(declared.jitter.total_seconds()),
            run_within_s=int(declared.run_within.total_seconds()),
            next_runs=tuple(found.info.next_action_times[:SHOWN_TIMES]) if found else (),
            last_runs=runs,
            drift=drift,
        )


class ScheduleList(BaseModel, frozen=True):
    """All schedules of the code; `not_declared` names those that it once had, and that are still there."""

    items: tuple[ScheduleResource, ...]
    next_cursor: None = None
    not_declared: tuple[str, ...]
