"""The relay: does what committed transactions left in the outbox, soon after, over any crash in between."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Self

import asyncpg
import structlog
from sqlalchemy.exc import SQLAlchemyError
from temporalio.common import MetricMeter

from contracts.outbox import OutboxRow
from database.outbox import Outbox

BATCH = 20
BATCHES_AT_ONCE = 4
# A batch is waited for, so that the next one is larger, but not for longer: a row that hangs delays its own batch.
NEXT_BATCH_AFTER_S = 0.1
# A connection for each batch under way, one to listen, and one to look at the lag.
CONNECTIONS = BATCHES_AT_ONCE + 2
DONE_WITHIN_S = 10.0
# A notification can be lost with the connection that waits for it.
LOOK_EVERY_S = 1.0
TRY_AGAIN_AFTER_S = 1.0
TRY_AGAIN_AT_LEAST_EVERY_S = 30.0

Handler = Callable[[OutboxRow], Awaitable[None]]

log = structlog.get_logger()


def in_turn(*handlers: Handler) -> Handler:
    """One handler of several for the same kind of row; when one of them fails, all are asked again."""

    async def handle(row: OutboxRow) -> None:
        for handler in handlers:
            await handler(row)

    return handle


@dataclass(frozen=True)
class PutOff:
    """How long an aggregate waits whose row could not be done: seconds, and until when on the monotonic clock."""

    delay_s: float
    due: float

    @classmethod
    def after(cls, earlier: Self | None) -> Self:
        delay_s = TRY_AGAIN_AFTER_S if earlier is None else min(2 * earlier.delay_s, TRY_AGAIN_AT_LEAST_EVERY_S)
        return cls(delay_s, time.monotonic() + delay_s)


class OutboxRelay:
    """Does each row by the handler of its kind, which may see a row twice: after a crash before it was deleted.

    Several relays share the work; the rows of an aggregate are done in order all the same. Rows that could not be done
    go by themselves the next time, behind those that nobody has tried yet, and one batch at a time: however many hang,
    there is room for the others.
    """

    def __init__(self, outbox: Outbox, handlers: Mapping[str, Handler], meter: MetricMeter) -> None:
        self._outbox = outbox
        self._handlers = handlers
        self._heard = asyncio.Event()
        self._put_off: dict[str, PutOff] = {}
        self._trying_again = asyncio.Lock()
        self._lag = meter.create_gauge_float(
            "followthrough_outbox_lag_seconds", "Age of the oldest row that waits in the outbox"
        )
        self._waiting = meter.create_gauge("followthrough_outbox_rows", "Rows that wait in the outbox")

    async def run(self) -> None:
        """Work until cancelled; an outage of Postgres is waited out."""
        async with asyncio.TaskGroup() as parts:
            for part in (self._listen, self._look_at_lag, self._relay):
                parts.create_task(part())

    async def _listen(self) -> None:
        while True:
            with _outages_waited_out():
                await self._outbox.hear(self._heard.set)
            await asyncio.sleep(TRY_AGAIN_AFTER_S)

    async def _look_at_lag(self) -> None:
        while True:
            with _outages_waited_out():
                lag = await self._outbox.lag()
                self._lag.set(lag.seconds)
                self._waiting.set(lag.rows)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _relay(self) -> None:
        """One batch after the other while they are quick, and beside each other when they are not."""
        async with asyncio.TaskGroup() as batches:
            under_way: set[asyncio.Task[bool]] = set()
            while True:
                self._heard.clear()
                batch = batches.create_task(self._do_batch())
                await asyncio.wait({batch}, timeout=NEXT_BATCH_AFTER_S)
                if batch.done() and not batch.result():
                    await self._hear()
                    continue
                under_way = {one for one in (*under_way, batch) if not one.done()}
                if len(under_way) == BATCHES_AT_ONCE:
                    _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)

    async def _hear(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._heard.wait()
        except TimeoutError:
            pass

    async def _do_batch(self) -> bool:
        """Do some rows: new ones, or else those whose time has come again. False when there are none."""
        did_some = False
        with _outages_waited_out():
            did_some = await self._do_new() or await self._do_put_off()
        if did_some:
            # There may be rows that waited for these.
            self._heard.set()
        return did_some

    async def _do_new(self) -> bool:
        async with self._outbox.take(BATCH, leaving=self._put_off) as batch:
            await batch.done(await self._do_all(batch.rows, {}))
        return bool(batch.rows)

    async def _do_put_off(self) -> bool:
        now = time.monotonic()
        due = sorted((until.due, aggregate) for aggregate, until in self._put_off.items() if until.due <= now)
        if not due or self._trying_again.locked():
            return False
        # Those that somebody else has, or has done, are forgotten.
        earlier = {aggregate: self._put_off.pop(aggregate) for _, aggregate in due[:BATCH]}
        async with self._trying_again, self._outbox.take(BATCH, of=earlier) as batch:
            done = await self._do_all(batch.rows, earlier)
            await batch.done(done)
        if done:
            # What failed together may well be possible together.
            self._put_off = {aggregate: replace(until, due=now) for aggregate, until in self._put_off.items()}
        return True

    async def _do_all(self, rows: Collection[OutboxRow], earlier: Mapping[str, PutOff]) -> list[int]:
        """Do these rows beside each other; the ids of those that are done. The others are put off."""
        done = await asyncio.gather(*map(self._do, rows))
        for row, was_done in zip(rows, done, strict=True):
            if not was_done:
                self._put_off[row.aggregate] = PutOff.after(earlier.get(row.aggregate))
        return [row.id for row, was_done in zip(rows, done, strict=True) if was_done]

    async def _do(self, row: OutboxRow) -> bool:
        handler = self._handlers.get(row.kind)
        if handler is None:
            # A newer worker wrote it, and will do it.
            log.error("no handler for this kind of outbox row", kind=row.kind, outbox_id=row.id)
            return False
        try:
            async with asyncio.timeout(DONE_WITHIN_S):
                await handler(row)
        except Exception as error:
            # Whatever it is, the row stays and the others go on; what is raised may quote what no log should.
            log.warning("outbox row not done yet", kind=row.kind, outbox_id=row.id, error=type(error).__name__)
            return False
        return True


@contextmanager
def _outages_waited_out() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        log.warning("the outbox cannot be read", error=type(error).__name__)
