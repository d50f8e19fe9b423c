"""Looks for what stands still or fails, and has somebody look at it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from temporalio import activity
from temporalio.client import Client

from contracts.attention import AttentionItem, AttentionKind
from contracts.ids import order_id_of_workflow
from contracts.upkeep import Watched

# Workflows import this module for its signatures; what it needs to run stays out of them.
if TYPE_CHECKING:
    from database.attention import AttentionRepository
    from database.order_watch import OrderWatch
    from database.webhook_health import WebhookHealth

# Where so much is wrong at once, one item more tells nobody anything.
LIMIT = 1_000
# What an order's last booking may take, besides what its own time-outs allow: tries that hang, workers that restart.
ORDER_SLACK_S = 5 * 60
FAILING_FOR = timedelta(days=1)

log = structlog.get_logger()


class Watch:
    """Keeps the items of a kind as what is found: opened when it comes, closed when it has passed."""

    def __init__(self, attention: "AttentionRepository") -> None:
        self.attention = attention

    async def report(self, kind: AttentionKind, found: Sequence[AttentionItem], *, what: str) -> Watched:
        """Open an item for each that has none open, and close the others. At the limit, others may be left out."""
        reported = found[:LIMIT]
        opened = await self.attention.open_again(reported)
        closed = 0
        if len(found) < LIMIT:
            closed = await self.attention.close_others(kind, [item.source for item in found])
        if opened:
            log.warning("attention needed", kind=kind, items=opened)
        return Watched(what=what, found=len(found), opened=opened, closed=closed)


class WatchActivities:
    """Looks."""

    def __init__(self, watch: Watch, orders: "OrderWatch", webhooks: "WebhookHealth", temporal: Client) -> None:
        self.watch = watch
        self.orders = orders
        self.webhooks = webhooks
        self.temporal = temporal

    @activity.defn
    async def report_stuck_orders(self, at: datetime) -> Watched:
        """Report orders that stand still for longer than their own time-outs allow."""
        found = [
            *await self.orders.stuck(at, slack_s=ORDER_SLACK_S, limit=LIMIT),
            *await self._never_begun(at - timedelta(seconds=ORDER_SLACK_S)),
        ]
        return await self.watch.report(AttentionKind.STUCK_ORDER, found, what="stuck orders")

    async def _never_begun(self, before: datetime) -> list[AttentionItem]:
        """Orders that Temporal has and our books don't: their first step was not done since before this time."""
        query = (
            "WorkflowType = 'Order' AND ExecutionStatus = 'Running' AND OrderStatus = 'accepted' "
            f"AND StartTime < '{before.isoformat()}'"
        )
        waiting = [
            order_id_of_workflow(execution.id)
            async for execution in self.temporal.list_workflows(query, limit=LIMIT, page_size=LIMIT)
        ]
        return [
            AttentionItem(
                kind=AttentionKind.STUCK_ORDER,
                source=order_id,
                order_id=order_id,
                detail=f"{order_id} was accepted, and its first step is not done",
            )
            for order_id in await self.orders.unknown(waiting)
        ]

    @activity.defn
    async def report_failing_webhooks(self, at: datetime) -> Watched:
        """Report active webhook endpoints that have answered nothing but errors for a day."""
        found = await self.webhooks.failing(at, for_longer_than=FAILING_FOR, limit=LIMIT)
        return await self.watch.report(AttentionKind.WEBHOOK_FAILING, found, what="failing webhook endpoints")

    @activity.defn
    async def report_disabled_webhooks(self, at: datetime) -> Watched:
        """Report webhook endpoints that were disabled, and not by their owners."""
        found = await self.webhooks.disabled(limit=LIMIT)
        return await self.watch.report(AttentionKind.WEBHOOK_DISABLED, found, what="disabled webhook endpoints")
