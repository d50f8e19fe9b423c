"""Settles what nobody does any more: Temporal gave up on it, or somebody ended it there."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import structlog
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

RPC_TIMEOUT = timedelta(seconds=5)

Item = TypeVar("Item")

log = structlog.get_logger()


async def keep_settling(
    what: str,
    due: Callable[[], Awaitable[Iterable[Item]]],
    settle: Callable[[Item], Awaitable[None]],
    *,
    every_s: float,
) -> None:
    """Settle all that is due, again and again, until cancelled; outages are waited out."""
    while True:
        with _going_on(what):
            for item in await due():
                with _going_on(what, item=str(item)):
                    await settle(item)
        await asyncio.sleep(every_s)


@contextmanager
def _going_on(what: str, **which: str) -> Iterator[None]:
    """Whatever is wrong with one of them, or with all now, the others have their turn, and these another one."""
    try:
        yield
    except Exception as error:
        log.warning("not settled yet", what=what, error=type(error).__name__, **which)


async def status_of_process(client: Client, workflow_id: str) -> WorkflowExecutionStatus | None:
    """How a workflow is, or ended; None when Temporal does not know it, or not any more."""
    try:
        return (await client.get_workflow_handle(workflow_id).describe(rpc_timeout=RPC_TIMEOUT)).status
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return None
