"""How an order answers who asks something of it."""

from collections.abc import Awaitable

from temporalio.client import RPCError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCStatusCode

from contracts.orders import Order

OVER = "over"


async def answer(asked: Awaitable[Order | None]) -> str:
    """What is answered, in one word: the order's status, the code of a refusal, or `over` for a finished workflow."""
    try:
        order = await asked
    except WorkflowUpdateFailedError as error:
        if not isinstance(error.cause, ApplicationError):
            raise
        # The server's word for an update that was taken up by a workflow which then ended.
        return OVER if error.cause.type == "AcceptedUpdateCompletedWorkflow" else str(error.cause.type)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return OVER
    return order.status if order else "accepted"
