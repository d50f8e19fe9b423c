"""Schedules of a test's own, with the workflows and the rules of the real ones, and what came of their runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from temporalio.client import (
    ScheduleBackfill,
    ScheduleHandle,
    ScheduleOverlapPolicy,
    WorkflowExecution,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowHistory,
)

from contracts.attention import AttentionItem, AttentionKind, KeptItem
from database.attention import AttentionRepository
from database.tables import attention_items
from tests.histories import history_of
from tests.shop import POLL_S, RPC_TIMEOUT, WITHIN_S, Shop
from workflows.schedules import DeclaredSchedule, schedules

# Where the stack's own digests go.
OPERATORS = "operators@followthrough.example"


def declared(name: str, *, digest_zone: str = "UTC") -> DeclaredSchedule:
    """One of ours."""
    [found] = [one for one in schedules(digest_at=time(8), digest_zone=digest_zone) if one.name == name]
    return found


@dataclass(frozen=True)
class Run:
    """One run of a schedule."""

    shop: Shop
    execution: WorkflowExecution

    @property
    def handle(self) -> WorkflowHandle[Any, Any]:
        return self.shop.client.get_workflow_handle(self.execution.id)

    async def outcome(self) -> object:
        """What the run returned, or the error that it ended with."""
        async with asyncio.timeout(WITHIN_S):
            try:
                return await self.handle.result()
            except WorkflowFailureError as error:
                return error.cause

    async def summary(self) -> str:
        await self.outcome()
        return str((await (await self.handle.describe(rpc_timeout=RPC_TIMEOUT)).memo())["summary"])

    async def history(self) -> WorkflowHistory:
        return await history_of(self.shop.client, self.handle)


class OwnSchedule:
    """A schedule that runs only when it is told to."""

    def __init__(self, shop: Shop, handle: ScheduleHandle) -> None:
        self.shop = shop
        self.handle = handle

    async def runs(self, number: int) -> list[Run]:
        """Wait until so many were started; the one for the earliest time first."""
        query = f"TemporalScheduledById = '{self.handle.id}'"
        async with asyncio.timeout(WITHIN_S):
            while True:
                found = [execution async for execution in self.shop.client.list_workflows(query)]
                if len(found) >= number:
                    return [Run(self.shop, one) for one in sorted(found, key=lambda one: one.id)]
                await asyncio.sleep(POLL_S)

    async def run_for(self, at: datetime) -> Run:
        """The run that was due at this time."""
        await self.backfill(at - timedelta(seconds=1), at)
        [run] = await self.runs(1)
        await run.outcome()
        return run

    async def backfill(self, since: datetime, until: datetime) -> None:
        """The runs that were due after one time, up to another."""
        await self.handle.backfill(
            ScheduleBackfill(start_at=since, end_at=until, overlap=ScheduleOverlapPolicy.ALLOW_ALL),
            rpc_timeout=RPC_TIMEOUT,
        )


@asynccontextmanager
async def own_schedule(shop: Shop, of: DeclaredSchedule) -> AsyncIterator[OwnSchedule]:
    """A schedule like this one, under a name of its own, and paused."""
    name = f"{of.name}-{uuid4().hex[:8]}"
    own = replace(of, name=name).schedule
    own.state.paused = True
    handle = await shop.client.create_schedule(name, own, rpc_timeout=RPC_TIMEOUT)
    try:
        yield OwnSchedule(shop, handle)
    finally:
        await handle.delete(rpc_timeout=RPC_TIMEOUT)


async def run_now(shop: Shop, name: str) -> Run:
    """A run of one of ours, to its end."""
    async with own_schedule(shop, declared(name)) as schedule:
        await schedule.handle.trigger(rpc_timeout=RPC_TIMEOUT)
        [run] = await schedule.runs(1)
        await run.outcome()
        return run


async def items_about(shop: Shop, *sources: str, kind: AttentionKind | None = None) -> list[KeptItem]:
    """The attention items about these, open or closed, the oldest first."""
    query = select(attention_items).where(attention_items.c.source.in_(sources)).order_by(attention_items.c.opened_at)
    if kind is not None:
        query = query.where(attention_items.c.kind == kind)
    async with shop.engine.connect() as connection:
        return [KeptItem.model_validate(row._mapping) for row in await connection.execute(query)]


async def opened(shop: Shop, kind: AttentionKind, detail: str) -> KeptItem:
    """An open item about something of its own."""
    source = uuid4().hex
    wanted = AttentionItem(kind=kind, source=source, order_id=None, detail=detail)
    assert await AttentionRepository(shop.engine).open(wanted)
    [item] = await items_about(shop, source)
    return item
