"""What is past its time goes."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from temporalio import activity

from contracts.attention import AttentionItem, AttentionKind
from contracts.upkeep import Cleaned, Watched

# Workflows import this module for its signatures; what it needs to run stays out of them.
if TYPE_CHECKING:
    from activities.watching import Watch
    from database.cleanup import Batch, CleanupRepository


class CleanupActivities:
    """Deletes, in small transactions; whatever a lost attempt did is done. `at` is the time to count back from."""

    def __init__(
        self,
        cleanup: "CleanupRepository",
        watch: "Watch",
        *,
        jobs_kept: timedelta,
        deliveries_kept: timedelta,
        inbound_bodies_kept: timedelta,
        sign_up_keys_kept: timedelta,
    ) -> None:
        self.cleanup = cleanup
        self.watch = watch
        self.jobs_kept = jobs_kept
        self.deliveries_kept = deliveries_kept
        self.inbound_bodies_kept = inbound_bodies_kept
        self.sign_up_keys_kept = sign_up_keys_kept

    @activity.defn
    async def forget_jobs(self, at: datetime) -> Cleaned:
        """Delete jobs long over, together with the idempotency keys that they answer to."""
        return Cleaned(what="jobs", count=await _all(self.cleanup.forget_jobs, at - self.jobs_kept))

    @activity.defn
    async def forget_batches(self, at: datetime) -> Cleaned:
        """Delete batches whose jobs are all long over, together with these."""
        return Cleaned(what="batches of jobs", count=await _all(self.cleanup.forget_batches, at - self.jobs_kept))

    @activity.defn
    async def forget_bulk_actions(self, at: datetime) -> Cleaned:
        """Delete bulk actions long ended, with the idempotency keys that they answer to."""
        return Cleaned(what="bulk actions", count=await _all(self.cleanup.forget_bulk_actions, at - self.jobs_kept))

    @activity.defn
    async def forget_deliveries(self, at: datetime) -> Cleaned:
        """Delete webhook deliveries long made or given up."""
        return Cleaned(
            what="webhook deliveries", count=await _all(self.cleanup.forget_deliveries, at - self.deliveries_kept)
        )

    @activity.defn
    async def empty_inbound_events(self, at: datetime) -> Cleaned:
        """Empty the bodies of events that no version of ours has understood for long."""
        return Cleaned(
            what="bodies of inbound events",
            count=await _all(self.cleanup.empty_inbound_events, at - self.inbound_bodies_kept),
        )

    @activity.defn
    async def forget_sign_up_keys(self, at: datetime) -> Cleaned:
        """Delete the idempotency keys of sign-ups that nobody repeats any more."""
        return Cleaned(
            what="keys of sign-ups", count=await _all(self.cleanup.forget_sign_up_keys, at - self.sign_up_keys_kept)
        )

    @activity.defn
    async def forget_secrets(self, at: datetime) -> Cleaned:
        """Delete the webhook secrets that sign nothing any more."""
        return Cleaned(what="endpoints' old secrets", count=await _all(self.cleanup.forget_secrets, at))

    @activity.defn
    async def report_orphaned_reservations(self, at: datetime) -> Watched:
        """Report stock that orders hold which are over. Only an order releases its own."""
        found: list[AttentionItem] = []
        behind = None
        while True:
            items, behind = await self.cleanup.orphaned_reservations(behind)
            found += items
            activity.heartbeat(len(found))
            if behind is None:
                return await self.watch.report(AttentionKind.ORPHANED_RESERVATION, found, what="orphaned reservations")


async def _all(batch: "Callable[[datetime, Any], Awaitable[Batch]]", before: datetime) -> int:
    """Batch after batch, until nothing of before then is left."""
    rows = 0
    behind = None
    while True:
        done = await batch(before, behind)
        rows += done.rows
        activity.heartbeat(rows)
        if done.next is None:
            return rows
        behind = done.next
