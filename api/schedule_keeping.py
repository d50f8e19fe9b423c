"""Shows operators the schedules, and passes on what they ask of one. All of it but their notes is Temporal's to keep.

The audit log is in Postgres, and no transaction spans both. So an entry is written first, once Temporal has shown what
the schedule is. When the process dies between the two, or Temporal goes away, the log tells of something that was asked
for and not done; it never lacks what was done.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest
from temporalio.client import Client, ScheduleBackfill, ScheduleDescription, ScheduleHandle, ScheduleOverlapPolicy
from temporalio.service import RPCError, RPCStatusCode

from api.errors import FieldError, InvalidRequest, NotFound
from api.outages import Unreachable, asking_postgres, asking_temporal
from api.schedule_bodies import MAX_BACKFILLED_RUNS, BackfillBody
from api.schedule_resource import MISSING, RunResource, ScheduleList, ScheduleResource
from contracts.audit import Act, AuditAction
from database.audit import AuditLog
from workflows.schedule_drift import drift
from workflows.schedules import MEMO, DeclaredSchedule

WITHIN_S = 3.0
RPC_TIMEOUT = timedelta(seconds=WITHIN_S)
SHOWN_RUNS = 5
# The server takes what is due after one moment and up to another one.
SHIFT = timedelta(microseconds=1)
# Temporal encrypts no schedule's note: who said what, and perhaps of whom, is in the audit log alone.
PAUSED, RESUMED = "paused by an operator: see the audit log", "resumed by an operator: see the audit log"
SAID_IN = {PAUSED: AuditAction.SCHEDULE_PAUSE, RESUMED: AuditAction.SCHEDULE_RESUME}


class ScheduleKeeper:
    """Every method raises Unreachable, and those that take a name NotFound for one that the code does not have."""

    def __init__(self, temporal: Client, declared: Sequence[DeclaredSchedule], audit: AuditLog) -> None:
        self._temporal = temporal
        self._audit = audit
        self._declared = {one.name: one for one in declared}

    async def list(self) -> ScheduleList:
        async with asking_temporal(WITHIN_S):
            items = await asyncio.gather(*map(self._shown, self._declared.values()))
            found = [
                listed.id
                async for listed in await self._temporal.list_schedules(rpc_timeout=RPC_TIMEOUT)
                if listed.id not in self._declared and await listed.memo() == MEMO
            ]
        noted = await asyncio.gather(*map(self._with_note, items))
        return ScheduleList(items=tuple(noted), not_declared=tuple(sorted(found)))

    async def get(self, name: str) -> ScheduleResource:
        declared = self._known(name)
        async with asking_temporal(WITHIN_S):
            shown = await self._shown(declared)
        return await self._with_note(shown)

    async def pause(self, name: str, act: Act) -> ScheduleResource:
        """Have it start nothing until it is resumed; a run under way goes on."""
        await self._record(name, act, AuditAction.SCHEDULE_PAUSE, {"paused": True})
        async with self._asked(name) as handle:
            await handle.pause(note=PAUSED, rpc_timeout=RPC_TIMEOUT)
        return await self.get(name)

    async def resume(self, name: str, act: Act) -> ScheduleResource:
        """Have it go on. What was due in between is not made up for: that is what backfilling is for."""
        await self._record(name, act, AuditAction.SCHEDULE_RESUME, {"paused": False})
        async with self._asked(name) as handle:
            await handle.unpause(note=RESUMED, rpc_timeout=RPC_TIMEOUT)
        return await self.get(name)

    async def trigger(self, name: str, act: Act) -> ScheduleResource:
        """Have it run now, or when the run under way has ended; also while it is paused."""
        await self._record(name, act, AuditAction.SCHEDULE_TRIGGER, {"asked_for": "a run now"})
        async with self._asked(name) as handle:
            await handle.trigger(overlap=ScheduleOverlapPolicy.BUFFER_ONE, rpc_timeout=RPC_TIMEOUT)
        return await self.get(name)

    async def backfill(self, name: str, body: BackfillBody, act: Act) -> ScheduleResource:
        """Have it do the runs that were due in a time. Raises InvalidRequest for none, and for too many."""
        period = ScheduleBackfill(start_at=body.since - SHIFT, end_at=body.until - SHIFT, overlap=body.overlap.policy)
        async with self._asked(name):
            runs = await self._due(name, period)
        if not 1 <= runs <= MAX_BACKFILLED_RUNS:
            problem = f"from then until `to` must be 1 to {MAX_BACKFILLED_RUNS} runs"
            raise InvalidRequest("1 field is not valid", errors=[FieldError(field="from", message=problem)])
        asked_for = body.model_dump(mode="json", by_alias=True, exclude={"note"}) | {"runs": runs}
        await self._record(name, act, AuditAction.SCHEDULE_BACKFILL, asked_for)
        async with self._asked(name) as handle:
            await handle.backfill(period, rpc_timeout=RPC_TIMEOUT)
        return await self.get(name)

    async def _record(self, name: str, act: Act, action: AuditAction, after: Mapping[str, Any]) -> None:
        """Enter in the audit log what is about to be asked of a schedule that Temporal has."""
        async with self._asked(name) as handle:
            state = (await handle.describe(rpc_timeout=RPC_TIMEOUT)).schedule.state
        async with asking_postgres():
            await self._audit.add(act, action, name, before={"paused": state.paused}, after=after)

    def _known(self, name: str) -> DeclaredSchedule:
        declared = self._declared.get(name)
        if declared is None:
            raise NotFound
        return declared

    @asynccontextmanager
    async def _asked(self, name: str) -> AsyncIterator[ScheduleHandle]:
        self._known(name)
        try:
            async with asking_temporal(WITHIN_S):
                yield self._temporal.get_schedule_handle(name)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise NotFound("Temporal does not have this schedule. `followthrough migrate` creates it.") from None
            raise

    async def _due(self, name: str, period: ScheduleBackfill) -> int:
        """How many runs are due in this time; the server tells at most a thousand."""
        since, until = Timestamp(), Timestamp()
        since.FromDatetime(period.start_at)
        until.FromDatetime(period.end_at)
        request = ListScheduleMatchingTimesRequest(
            namespace=self._temporal.namespace, schedule_id=name, start_time=since, end_time=until
        )
        answered = await self._temporal.workflow_service.list_schedule_matching_times(request, timeout=RPC_TIMEOUT)
        return len(answered.start_time)

    async def _shown(self, declared: DeclaredSchedule) -> ScheduleResource:
        found, runs = await asyncio.gather(self._description(declared.name), self._runs(declared.name))
        differs = [MISSING] if found is None else await drift(self._temporal, declared, found.schedule)
        return ScheduleResource.of(declared, found, runs, tuple(differs))

    async def _with_note(self, shown: ScheduleResource) -> ScheduleResource:
        """What the operator said, where Temporal was told no more than that there was one.

        Without Postgres that is all there is to show: Temporal's schedules are there all the same.
        """
        action = SAID_IN.get(shown.note or "")
        if action is None:
            return shown
        try:
            async with asking_postgres():
                entries = await self._audit.list(subject=shown.name, actor=None, action=action, after=None, limit=1)
        except Unreachable:
            return shown
        for entry in entries:
            did = "paused" if action is AuditAction.SCHEDULE_PAUSE else "resumed"
            return shown.model_copy(update={"note": entry.note or f"{did} by {entry.actor}"})
        return shown

    async def _description(self, name: str) -> ScheduleDescription | None:
        try:
            return await self._temporal.get_schedule_handle(name).describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise

    async def _runs(self, name: str) -> tuple[RunResource, ...]:
        """Those that were started last, newest first."""
        started = self._temporal.list_workflows(
            f"TemporalScheduledById = '{name}'", limit=SHOWN_RUNS, page_size=SHOWN_RUNS, rpc_timeout=RPC_TIMEOUT
        )
        return tuple([await RunResource.of(execution) async for execution in started])
