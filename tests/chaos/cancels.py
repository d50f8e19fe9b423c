"""Cancels, as a client's update and as the Web UI's button send them, and what they are answered."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.update.v1 import UpdateRef
from temporalio.api.workflowservice.v1 import PollWorkflowExecutionUpdateRequest
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from contracts.orders import OrderStatus
from tests.chaos.shop import Handle
from workflows.orders import OrderWorkflow

SENT_WITHIN_S = 10.0
ANSWERED_WITHIN_S = 30.0
POLL_S = 0.02


@dataclass(frozen=True)
class SentCancels:
    """Updates that wait for their answer."""

    answers: Sequence["asyncio.Task[str]"]

    async def answered(self) -> list[str]:
        """`cancelled` or the code of the refusal, in the order of the handles."""
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            return list(await asyncio.gather(*self.answers))


async def press_cancel_button(handles: Sequence[Handle]) -> None:
    """Request the workflows' cancellation; returns once it is in their histories."""
    await asyncio.gather(*(handle.cancel() for handle in handles))


async def send_cancel_updates(client: Client, handles: Sequence[Handle]) -> SentCancels:
    """Returns once the server has them; no worker has to be there for that."""
    ids = [str(uuid4()) for _ in handles]
    sent = SentCancels(
        [asyncio.create_task(_cancel(handle, update_id)) for handle, update_id in zip(handles, ids, strict=True)]
    )
    async with asyncio.timeout(SENT_WITHIN_S):
        await asyncio.gather(
            *(_is_known(client, handle, update_id) for handle, update_id in zip(handles, ids, strict=True))
        )
    return sent


async def _cancel(handle: Handle, update_id: str) -> str:
    try:
        order = await handle.execute_update(OrderWorkflow.cancel, id=update_id)
    except WorkflowUpdateFailedError as failed:
        if not isinstance(failed.cause, ApplicationError):
            raise
        return str(failed.cause.type)
    except RPCError as error:
        if error.status is RPCStatusCode.FAILED_PRECONDITION:
            # Temporal drops an update whose workflow task fails; under the same id it can be sent again.
            return await _cancel(handle, update_id)
        # The workflow ended in the very task that would have answered: its result is the answer.
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        status = (await handle.result()).status
        return "cancelled" if status is OrderStatus.CANCELLED else "too_late"
    return order.status.value


async def _is_known(client: Client, handle: Handle, update_id: str) -> None:
    """Wait until the server has the update, whatever its stage."""
    request = PollWorkflowExecutionUpdateRequest(
        namespace=client.namespace,
        update_ref=UpdateRef(workflow_execution=WorkflowExecution(workflow_id=handle.id), update_id=update_id),
    )
    while True:
        try:
            await client.workflow_service.poll_workflow_execution_update(request)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            await asyncio.sleep(POLL_S)
        else:
            return
