"""The relay: does what committed transactions left in the outbox, soon after, over any crash in between."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Self

import asyncpg
import structlog
from sqlalchemy.exc import SQLAlchemyError
from temporalio.common import MetricMeter

from contracts.outbox import OutboxRow
from database.outbox import Outbox

BATCH = 50
DONE_WITHIN_S = 10.0
# A notification can be lost with the connection that waits for it.
LOOK_EVERY_S = 1.0
TRY_AGAIN_AFTER_S = 1.0
TRY_AGAIN_AT_LEAST_EVERY_S = 5.0

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

    Several relays share the work; the rows of an aggregate are done in order all the same.
    """

    def __init__(self, outbox: Outbox, handlers: Mapping[str, Handler], meter: MetricMeter) -> None:
        self._outbox = outbox
        self._handlers = handlers
        self._heard = asyncio.Event()
        self._put_off: dict[str, PutOff] = {}
        self._lag = meter.create_gauge_float(
            "followthrough_outbox_lag", "age of the oldest row that waits in the outbox", "s"
        )
        self._waiting = meter.create_gauge("followthrough_outbox_rows", "rows that wait in the outbox")

    async def run(self) -> None:
        """Work until cancelled; an outage of Postgres is waited out."""
        while True:
            try:
                async with self._outbox.heard(self._heard.set) as connection:
                    while not connection.is_closed():
                        await self._work()
            except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                log.warning("the outbox cannot be read", error=type(error).__name__)
            await asyncio.sleep(TRY_AGAIN_AFTER_S)

    async def _work(self) -> None:
        self._heard.clear()
        await self._drain()
        lag = await self._outbox.lag()
        self._lag.set(lag.seconds)
        self._waiting.set(lag.rows)
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._heard.wait()
        except TimeoutError:
            pass

    async def _drain(self) -> None:
        """Do what waits, and leave what could not be done for later."""
        while True:
            now = time.monotonic()
            leaving = [aggregate for aggregate, until in self._put_off.items() if until.due > now]
            async with self._outbox.take(BATCH, leaving=leaving) as batch:
                done = await asyncio.gather(*map(self._do, batch.rows))
                await batch.done([row.id for row, was_done in zip(batch.rows, done, strict=True) if was_done])
            if not batch.rows:
                return
            for row, was_done in zip(batch.rows, done, strict=True):
                earlier = self._put_off.pop(row.aggregate, None)
                if not was_done:
                    self._put_off[row.aggregate] = PutOff.after(earlier)

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
