"""Starts a process that must be started once, however often somebody asks."""

from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

RPC_TIMEOUT = timedelta(seconds=5)
# After a kill of the worker its tasks go to the next one this soon.
TASK_TIMEOUT = timedelta(seconds=2)


async def start_once(
    client: Client, workflow: str, argument: Any, workflow_id: str, *, task_queue: str, fairness_key: str | None = None
) -> None:
    """Start a workflow, unless there is or was one of this id; those of one fairness key take turns with the others."""
    try:
        await client.start_workflow(
            workflow,
            argument,
            id=workflow_id,
            task_queue=task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            task_timeout=TASK_TIMEOUT,
            rpc_timeout=RPC_TIMEOUT,
            priority=Priority(fairness_key=fairness_key),
        )
    except WorkflowAlreadyStartedError:
        return
