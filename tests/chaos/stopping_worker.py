"""The worker as it is, but for one thing: once so many orders have reached a point, it dies of SIGKILL.

    python -m tests.chaos.stopping_worker HOME WORK MOMENT ORDERS

What it watches is the wire to the providers and the writes to our books; the project's modules know nothing of it.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio import activity

from contracts import queues
from contracts.orders import PlaceOrder
from database.books import Books
from database.inventory import Available
from database.open_order import OpenOrder
from hosting import orders as orders_hosted
from providers.carrier import Carrier
from providers.payments import PaymentProvider
from stack import run
from stack.home import Home
from tests.chaos.points import Moment, Point, Work


class Stop:
    """Holds every order at the point until enough are there, and then kills this process."""

    def __init__(self, point: Point, orders: int) -> None:
        self._point = point
        self._orders = orders
        self._held: set[str] = set()

    def kill_when_enough(self, moment: Moment) -> bool:
        """Count the order of the running activity. Returns whether it stands at the point."""
        if not activity.in_activity() or moment is not self._point.moment:
            return False
        info = activity.info()
        if info.activity_type != self._point.work or info.workflow_id is None:
            return False
        self._held.add(info.workflow_id)
        if len(self._held) >= self._orders:
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    async def hold(self, moment: Moment) -> None:
        if self.kill_when_enough(moment):
            await asyncio.Event().wait()

    async def keep(self) -> None:
        """Hold an order that has been at the point also when its workflow task is repeated in this process."""
        if activity.info().workflow_id in self._held:
            await asyncio.Event().wait()

    def watch(self, client: httpx.AsyncClient) -> httpx.AsyncClient:
        async def on_request(_request: httpx.Request) -> None:
            await self.hold(Moment.BEFORE_EFFECT)

        async def on_response(_response: httpx.Response) -> None:
            await self.hold(Moment.AFTER_EFFECT)

        client.event_hooks = {"request": [on_request], "response": [on_response]}
        return client


class WatchedBooks(Books):
    """Our books, with a stop before each commit and one behind it."""

    def __init__(self, engine: AsyncEngine, committed: Callable[[OpenOrder], None], *, stop: Stop) -> None:
        super().__init__(engine, committed)
        self._stop = stop

    @asynccontextmanager
    async def placed(
        self, order: PlaceOrder, at: datetime, run_id: str
    ) -> AsyncIterator[tuple[OpenOrder, Available | None]]:
        await self._stop.keep()
        async with super().placed(order, at, run_id) as opened:
            yield opened
        await self._stop.hold(Moment.AFTER_COMMIT)

    @asynccontextmanager
    async def order(self, order_id: str) -> AsyncIterator[OpenOrder]:
        await self._stop.keep()
        async with super().order(order_id) as opened:
            yield opened
        await self._stop.hold(Moment.AFTER_COMMIT)

    async def enter(self, entered: OpenOrder, order: PlaceOrder, run_id: str) -> None:
        await super().enter(entered, order, run_id)
        self._stop.kill_when_enough(Moment.BEFORE_COMMIT)

    async def write(self, opened: OpenOrder) -> None:
        await super().write(opened)
        self._stop.kill_when_enough(Moment.BEFORE_COMMIT)


def main(home: str, work: str, moment: str, orders: str) -> None:
    stop = Stop(Point(Work(work), Moment(moment)), int(orders))
    vars(orders_hosted).update(
        Books=partial(WatchedBooks, stop=stop),
        PaymentProvider=lambda client, **options: PaymentProvider(stop.watch(client), **options),
        Carrier=lambda client, **options: Carrier(stop.watch(client), **options),
    )
    run.worker(Home(Path(home)), queues.ALL)


if __name__ == "__main__":
    main(*sys.argv[1:])
