"""What operators ask of many orders at once: each one's workflow is told."""

from collections.abc import Mapping
from datetime import timedelta

from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.service import RPCError, RPCStatusCode

from activities.outbox_relay import Handler
from contracts.audit import Act
from contracts.ids import order_workflow_id
from contracts.operators import RetryOrder
from contracts.outbox import OutboxKind, OutboxRow

UPDATE_WITHIN = timedelta(seconds=5)


class OrderRetries:
    """Handles the outbox rows of orders to be retried. An order that is parked no more stays as it is."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {OutboxKind.ORDER_RETRIED: self.retried}

    async def retried(self, row: OutboxRow) -> None:
        act = Act.model_validate(row.payload)
        word = RetryOrder.of(act)
        handle = self._client.get_workflow_handle(order_workflow_id(row.payload["order_id"]))
        try:
            await handle.execute_update("retry", word, id=f"outbox-{row.id}", rpc_timeout=UPDATE_WITHIN)
        except WorkflowUpdateFailedError:
            # It went on by itself, or somebody else was quicker.
            return
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
