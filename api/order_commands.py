"""What customers and operators tell a running order."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

from structlog.contextvars import bind_contextvars
from temporalio.client import (
    WorkflowUpdateFailedError,
    WorkflowUpdateHandle,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from api.auth import Principal
from api.errors import (
    BooksContradict,
    NoActionRequired,
    NotAwaitingApproval,
    NotParked,
    Problem,
    TemporarilyUnavailable,
    TooLate,
)
from api.order_reading import KnownOrder, OrderReader
from api.order_resource import OrderResource
from api.outages import asking_temporal, is_outage
from contracts.audit import Act
from contracts.customers import CustomerAction
from contracts.failures import FailureCode
from contracts.operators import Decision, ResolveOrder, RetryOrder
from contracts.orders import Address, EventType, Order, OrderStatus, Phase
from workflows.orders import OrderWorkflow

ACCEPTED_WITHIN_S = 5.0
DONE_WITHIN_S = 4.0
SIGNALLED_WITHIN_S = 5.0
SEND_AGAIN_AFTER_S = 0.05

REFUSALS: dict[str, type[Problem]] = {
    kind.code: kind for kind in (TooLate, NotParked, BooksContradict, NoActionRequired)
}


class WorkflowEnded(Exception):
    """The order's workflow had ended, or ended before it could answer: what is written down is the answer."""


class TakesLong(Exception):
    """A workflow took the update up, or may have, and did not answer in the time that a client waits."""


class OrderCommands:
    """Cancels, approves, rejects and repairs orders.

    Their workflows have our books enter what an operator does (`act`) in the audit log, with what comes of it.
    """

    def __init__(self, reader: OrderReader) -> None:
        self._reader = reader

    async def cancel(self, caller: Principal, order_id: str, act: Act | None = None) -> OrderResource:
        """Undo an order.

        Raises NotFound, TooLate, or Unreachable or TemporarilyUnavailable when nothing says (yet) whether it is undone.
        """
        known = await self._reader.known(caller, order_id)
        if known.order.status.is_final:
            return _cancelled(known.order)
        try:
            return await self._update(known, OrderWorkflow.cancel, *_of_an_operator(caller, known, act))
        except WorkflowEnded:
            return _cancelled((await self._reader.known(caller, order_id)).order)
        except TakesLong:
            # Our books decide whether the cancel came in time, so they can tell.
            known = await self._reader.known(caller, order_id)
            match known.order.phase:
                case Phase.FORWARD:
                    raise TemporarilyUnavailable from None
                case Phase.UNDOING:
                    return await self._reader.current(known)
                case Phase.CLOSED:
                    return _cancelled(known.order)

    async def act(
        self, caller: Principal, order_id: str, action: CustomerAction, act: Act | None = None
    ) -> OrderResource:
        """Amend or cancel an order of which a part is not available.

        Raises NotFound, NoActionRequired, or Unreachable or TemporarilyUnavailable when nothing says what came of it.
        """
        known = await self._reader.known(caller, order_id)
        if known.order.status.is_final:
            raise NoActionRequired(f"Its status is {known.order.status}.")
        try:
            return await self._update(
                known, OrderWorkflow.act_for_customer, action, *_of_an_operator(caller, known, act)
            )
        except WorkflowEnded:
            order = (await self._reader.known(caller, order_id)).order
            if action is CustomerAction.CANCEL and order.status is OrderStatus.CANCELLED:
                return OrderResource.from_projection(order)
            raise NoActionRequired(f"Its status is {order.status}.") from None
        except TakesLong:
            known = await self._reader.known(caller, order_id)
            if known.order.status in (OrderStatus.ACCEPTED, OrderStatus.AWAITING_CUSTOMER):
                raise TemporarilyUnavailable from None
            return await self._reader.current(known)

    async def change_address(
        self, caller: Principal, order_id: str, ship_to: Address, act: Act | None = None
    ) -> OrderResource:
        """Have an order sent elsewhere.

        Raises NotFound, TooLate, or Unreachable or TemporarilyUnavailable when nothing says where it goes.
        """
        known = await self._reader.known(caller, order_id)
        if known.order.status.is_final:
            raise TooLate(f"Its status is {known.order.status}.")
        try:
            return await self._update(
                known, OrderWorkflow.change_address, ship_to, *_of_an_operator(caller, known, act)
            )
        except WorkflowEnded:
            raise TooLate("It has ended.") from None
        except TakesLong:
            # Our books decide whether the change came in time, so they can tell.
            order = (await self._reader.known(caller, order_id)).order
            if order.ship_to == ship_to:
                return OrderResource.from_projection(order)
            raise TemporarilyUnavailable from None

    async def decide(self, caller: Principal, order_id: str, *, approved: bool, act: Act) -> OrderResource:
        """Approve or reject an order. Repeating a decision is harmless.

        Raises NotFound, NotAwaitingApproval, or Unreachable.
        """
        known = await self._reader.known(caller, order_id)
        if known.may_await_approval:
            decision = Decision.of(act, approved=approved)
            try:
                async with asking_temporal(SIGNALLED_WITHIN_S):
                    await self._reader.handle(order_id).signal(
                        OrderWorkflow.decide, decision, rpc_timeout=timedelta(seconds=SIGNALLED_WITHIN_S)
                    )
                return await self._reader.current(known)
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
            known = await self._reader.known(caller, order_id)
        if not _was_decided(known.order, approved=approved):
            raise NotAwaitingApproval(f"Its status is {known.order.status}.")
        return await self._reader.get(caller, order_id)

    async def retry(self, caller: Principal, order_id: str, act: Act) -> OrderResource:
        """Have a parked order go on. Raises NotFound, NotParked, or Unreachable."""
        return await self._repair(caller, order_id, OrderWorkflow.retry, RetryOrder.of(act))

    async def resolve(self, caller: Principal, order_id: str, *, status: OrderStatus, act: Act) -> OrderResource:
        """Close a parked order by hand. Raises NotFound, NotParked, BooksContradict, or Unreachable."""
        return await self._repair(caller, order_id, OrderWorkflow.resolve, ResolveOrder.of(act, status=status))

    async def _repair(self, caller: Principal, order_id: str, update: Any, request: Any) -> OrderResource:
        known = await self._reader.known(caller, order_id)
        if known.order.status.is_final:
            raise NotParked(f"Its status is {known.order.status}.")
        try:
            return await self._update(known, update, request)
        except WorkflowEnded:
            raise NotParked("It has ended.") from None
        except TakesLong:
            return await self._reader.current(await self._reader.known(caller, order_id))

    async def _update(self, known: KnownOrder, update: Any, *args: Any) -> OrderResource:
        """Send an update, and answer with the order as the update leaves it.

        Raises the update's refusal, WorkflowEnded, TakesLong, or Unreachable when no worker takes it up.
        """
        try:
            async with asking_temporal(ACCEPTED_WITHIN_S):
                taken_up = await self._send(known.order.id, update, args)
            bind_contextvars(run_id=taken_up.workflow_run_id)
            async with asyncio.timeout(DONE_WITHIN_S):
                order: Order = await taken_up.result(rpc_timeout=timedelta(seconds=DONE_WITHIN_S))
            return OrderResource.from_workflow(order)
        except WorkflowUpdateFailedError as error:
            raise _refusal(error) from error
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
            raise TakesLong from error
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise WorkflowEnded from error
            if not is_outage(error):
                raise
            raise TakesLong from error

    async def _send(self, order_id: str, update: Any, args: Sequence[Any]) -> WorkflowUpdateHandle[Order]:
        """Send an update until a workflow takes it up. The caller bounds the time.

        Temporal drops, unanswered, an update whose workflow task fails, as one does when something else reaches the
        workflow while it ends. Under the same id it can be sent again.
        """
        update_id = uuid4().hex
        while True:
            try:
                return await self._reader.handle(order_id).start_update(
                    update,
                    args=args,
                    id=update_id,
                    wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                    result_type=Order,
                    rpc_timeout=timedelta(seconds=ACCEPTED_WITHIN_S),
                )
            except RPCError as error:
                if error.status is not RPCStatusCode.FAILED_PRECONDITION:
                    raise
            await asyncio.sleep(SEND_AGAIN_AFTER_S)


def _of_an_operator(caller: Principal, known: KnownOrder, act: Act | None) -> tuple[Act, ...]:
    """The update's further argument, if this is an operator's act: what customers do to their own orders is none."""
    return (act,) if act is not None and caller.acts_for(known.order.customer_id) else ()


def _refusal(error: WorkflowUpdateFailedError) -> Exception:
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type in REFUSALS:
        return REFUSALS[cause.type](cause.message)
    # The server's own words for an update whose workflow ended first.
    return WorkflowEnded()


def _cancelled(order: Order) -> OrderResource:
    if order.status in (OrderStatus.CANCELLED, OrderStatus.REJECTED):
        return OrderResource.from_projection(order)
    raise TooLate(f"Its status is {order.status}.")


def _was_decided(order: Order, *, approved: bool) -> bool:
    if approved:
        return any(entry.type is EventType.APPROVED for entry in order.timeline)
    return order.failure is not None and order.failure.code is FailureCode.APPROVAL_REJECTED
