"""What turns an order round, what operators ask of one that is parked, and what is answered to who comes too late."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from contracts.audit import Act, AuditAction, Deed
from contracts.errors import ErrorCode
from contracts.failures import Failure, FailureCode
from contracts.operators import ResolveOrder, RetryOrder
from contracts.orders import OrderStatus


class Undo(Exception):
    """The order cannot or must not go on; it ends with this status once all is undone."""

    def __init__(
        self,
        status: OrderStatus,
        failure: Failure | None,
        detail: str,
        *,
        resolved_by: str | None = None,
        deed: Deed | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.failure = failure
        self.detail = detail
        self.resolved_by = resolved_by
        self.deed = deed


class OperatorRequest:
    """A retry or a resolution that waits for the parked order to take it up."""

    def __init__(self, request: RetryOrder | ResolveOrder) -> None:
        self.request = request
        self.answer: asyncio.Future[None] = asyncio.Future()


async def taken_up() -> None:
    """Have Temporal record that an update was accepted, before our books move because of it.

    Until then it drops the update when the workflow task fails, and nobody would know why the books have moved.
    """
    await workflow.sleep(timedelta(milliseconds=1), summary="take up the update")


def rejected(code: FailureCode, message: str, by: Act | None = None) -> Undo:
    deed = Deed(action=AuditAction.ORDER_REJECT, act=by) if by is not None else None
    return Undo(OrderStatus.REJECTED, Failure(code=code, message=message), message, deed=deed)


def cancelled(by: Act | None) -> Undo:
    """`by` is None for the customer, and for the Web UI's button."""
    failure = Failure(code=FailureCode.CANCELLED_BY_CUSTOMER, message="cancelled on request")
    deed = Deed(action=AuditAction.ORDER_CANCEL, act=by) if by is not None else None
    return Undo(OrderStatus.CANCELLED, failure, failure.message, deed=deed)


def timed_out(message: str) -> Undo:
    return Undo(OrderStatus.CANCELLED, Failure(code=FailureCode.CUSTOMER_TIMED_OUT, message=message), message)


def too_late() -> ApplicationError:
    return ApplicationError("the order has been handed to the carrier", type=ErrorCode.TOO_LATE, non_retryable=True)


def not_parked() -> ApplicationError:
    return ApplicationError("the order does not wait for an operator", type=ErrorCode.NOT_PARKED, non_retryable=True)


def no_action_required() -> ApplicationError:
    return ApplicationError(
        "the customer is not asked for anything", type=ErrorCode.NO_ACTION_REQUIRED, non_retryable=True
    )


def books_contradict(why: str) -> ApplicationError:
    return ApplicationError(why, type=ErrorCode.BOOKS_CONTRADICT, non_retryable=True)
