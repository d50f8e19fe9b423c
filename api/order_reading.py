"""Answers what an order is: from its workflow when that answers at once, else from what is written down."""

from dataclasses import dataclass
from datetime import timedelta

from structlog.contextvars import bind_contextvars
from temporalio.client import (
    Client,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from temporalio.service import RPCError, RPCStatusCode

from api.auth import Principal
from api.cursors import next_cursor, position_of
from api.errors import NotFound
from api.order_memo import MEMO_MEMBER, OrderMemo
from api.order_resource import OrderList, OrderResource
from api.outages import Unreachable, asking_postgres, asking_temporal
from api.pending_calls import PendingCall, pending_calls_of
from contracts.ids import order_workflow_id
from contracts.orders import Order, OrderOutcome, OrderStatus
from database.orders import BookedOrder, OrderFilter, OrderRepository
from database.paging import Position
from workflows.orders import OrderWorkflow

QUERY_WITHIN_S = 1.0
DESCRIBE_WITHIN_S = 3.0


@dataclass(frozen=True)
class KnownOrder:
    """An order as it is written down: in our books, or else only in its workflow's memo, as it was accepted.

    `outage` says that our books could not be asked.
    """

    order: Order
    may_await_approval: bool
    outage: Unreachable | None = None


class OrderReader:
    """Reads orders for a caller, who sees only what is theirs."""

    def __init__(self, repository: OrderRepository, temporal: Client) -> None:
        self._repository = repository
        self._temporal = temporal

    async def get(self, caller: Principal, order_id: str) -> OrderResource:
        """Raises NotFound, also for another customer's order, or Unreachable when nothing can say what it is."""
        known = await self.known(caller, order_id)
        if known.order.status.is_final:
            return OrderResource.from_projection(known.order)
        return await self.current(known)

    async def current(self, known: KnownOrder) -> OrderResource:
        """The order as its workflow has it now, or as it is written down when no worker answers within a second.

        Raises Unreachable when neither can tell.
        """
        try:
            async with asking_temporal(QUERY_WITHIN_S):
                order = await self.handle(known.order.id).query(
                    OrderWorkflow.view, rpc_timeout=timedelta(seconds=QUERY_WITHIN_S)
                )
        except (Unreachable, RPCError, WorkflowQueryFailedError, WorkflowQueryRejectedError):
            if known.outage is not None:
                raise known.outage from None
            return OrderResource.from_projection(known.order)
        # Shipments go on without the order's workflow: only our books know how far they are.
        return OrderResource.from_workflow(order.model_copy(update={"shipments": known.order.shipments}))

    async def known(self, caller: Principal, order_id: str) -> KnownOrder:
        """What is written down of an order. Raises NotFound or Unreachable."""
        bind_contextvars(order_id=order_id, workflow_id=order_workflow_id(order_id))
        outage: Unreachable | None = None
        booked: BookedOrder | None = None
        try:
            async with asking_postgres():
                booked = await self._repository.find(order_id)
        except Unreachable as error:
            outage = error
        if booked is not None:
            bind_contextvars(run_id=booked.run_id)
            known = KnownOrder(booked.order, may_await_approval=booked.order.status is OrderStatus.AWAITING_APPROVAL)
        else:
            # Between the acceptance and the first booking, or while our books are away, only Temporal knows.
            memo = await self.memo(order_id)
            if memo is None:
                raise outage or NotFound
            known = KnownOrder(memo.accepted_order(order_id), may_await_approval=memo.needs_approval, outage=outage)
        if not caller.owns(known.order.customer_id):
            raise NotFound
        return known

    async def list(self, caller: Principal, wanted: OrderFilter, *, cursor: str | None, limit: int) -> OrderList:
        """A page of the caller's orders, newest first; operators see everybody's. Raises InvalidCursor."""
        after = position_of(cursor)
        async with asking_postgres():
            found = await self._repository.list(
                wanted,
                customer_id=None if caller.is_operator else caller.subject,
                after=after,
                limit=limit + 1,
            )
        return OrderList(
            items=tuple(map(OrderResource.from_projection, found[:limit])),
            next_cursor=next_cursor(found, limit, lambda order: Position(order.created_at, order.id)),
        )

    async def memo(self, order_id: str) -> OrderMemo | None:
        """What the memo of the order's workflow says; None when there is no workflow that we started.

        Raises Unreachable.
        """
        try:
            async with asking_temporal(DESCRIBE_WITHIN_S):
                description = await self.handle(order_id).describe(rpc_timeout=timedelta(seconds=DESCRIBE_WITHIN_S))
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        bind_contextvars(run_id=description.run_id)
        memo: OrderMemo | None = await description.memo_value(MEMO_MEMBER, None, type_hint=OrderMemo)
        return memo

    async def pending_calls(self, order_id: str) -> tuple[PendingCall, ...]:
        """The calls to providers that Temporal tries over and over; none while it does not say."""
        try:
            async with asking_temporal(QUERY_WITHIN_S):
                description = await self.handle(order_id).describe(rpc_timeout=timedelta(seconds=QUERY_WITHIN_S))
        except (Unreachable, RPCError):
            return ()
        return await pending_calls_of(description.raw_description.pending_activities, self._temporal.data_converter)

    def handle(self, order_id: str) -> WorkflowHandle[OrderWorkflow, OrderOutcome]:
        return self._temporal.get_workflow_handle_for(OrderWorkflow.run, order_workflow_id(order_id))
