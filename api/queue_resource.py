"""A task queue as operators see it: what waits on it, how it moves, and who polls it."""

from datetime import UTC, datetime
from typing import Self

from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt
from temporalio.api.taskqueue.v1 import PollerInfo
from temporalio.api.workflowservice.v1 import DescribeTaskQueueResponse


class PollerResource(BaseModel, frozen=True):
    """A worker that asks for tasks. A worker that has no deployment is not versioned."""

    identity: str = Field(description="its process and machine", examples=["4711@worker-1"])
    last_seen_at: datetime
    deployment: str | None = Field(examples=["followthrough"])
    build_id: str | None = Field(examples=["0.1.0-5f3c2d1"])

    @classmethod
    def of(cls, poller: PollerInfo) -> Self:
        return cls(
            identity=poller.identity,
            last_seen_at=poller.last_access_time.ToDatetime(UTC),
            deployment=poller.deployment_options.deployment_name or None,
            build_id=poller.deployment_options.build_id or poller.worker_version_capabilities.build_id or None,
        )


class TasksResource(BaseModel, frozen=True):
    """The tasks of one kind on a queue. All figures are Temporal's, and approximate; rates are of the last 30 s.

    Tasks that workers keep for themselves (sticky ones, and those begun eagerly) are not among them.
    """

    depth: NonNegativeInt = Field(description="tasks that wait")
    oldest_age_s: NonNegativeFloat = Field(description="how long the first of them has waited; 0 without any")
    added_per_s: NonNegativeFloat
    dispatched_per_s: NonNegativeFloat
    rate_limited: bool = Field(description="a rate limit holds them back: more workers would not help")
    pollers: tuple[PollerResource, ...]

    @classmethod
    def of(cls, described: DescribeTaskQueueResponse, seen_since: datetime) -> Self:
        stats = described.stats
        pollers = map(PollerResource.of, described.pollers)
        return cls(
            depth=stats.approximate_backlog_count,
            oldest_age_s=round(max(0.0, stats.approximate_backlog_age.ToTimedelta().total_seconds()), 3),
            added_per_s=round(stats.tasks_add_rate, 3),
            dispatched_per_s=round(stats.tasks_dispatch_rate, 3),
            rate_limited=stats.rate_limiting_active,
            pollers=tuple(sorted((one for one in pollers if one.last_seen_at > seen_since), key=_by_identity)),
        )


class QueueResource(BaseModel, frozen=True):
    """One task queue; most have tasks of one kind alone."""

    name: str = Field(examples=["orders"])
    workflow: TasksResource
    activity: TasksResource


class QueueList(BaseModel, frozen=True):
    """Every task queue that there is."""

    items: tuple[QueueResource, ...]


def _by_identity(poller: PollerResource) -> str:
    return poller.identity
