"""What watches an order goes on through all that breaks behind it, and loses no event."""

import asyncio
import json
import os
import signal
from contextlib import AsyncExitStack

import asyncpg
import httpx
import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.frames import CloseCode

from tests.acceptance.client import POLL_S, WITHIN_S, Caller, order_body
from tests.integration.api.breaking import family, frozen, until_ready
from tests.long_orders import long_order
from tests.shop import open_shop
from tests.stack_session import RunningStack
from tests.watching import ApiLog, all_events, all_messages, entries_of, idle_live, live, raw_stream, watching

pytestmark = pytest.mark.outage

TEE = "TEE-BLACK-M"
BIKE = "BIKE-CITY"
STOPPED_WITHIN_S = 3.0
END_LISTENERS = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name = 'followthrough api: order events'
"""


async def waiting_order(caller: Caller) -> str:
    """An order that goes on once an operator approves."""
    order_id: str = (await caller.placed(sku=BIKE, quantity=1))["id"]
    await caller.until(order_id, "awaiting_approval")
    return order_id


async def approve(caller: Caller, order_id: str) -> None:
    approved = await caller.post(f"/v1/admin/orders/{order_id}/approve", json={})
    assert approved.status_code == 202, approved.text


async def test_an_accepted_order_is_watched_before_it_is_in_our_books(own_stack: RunningStack, caller: Caller) -> None:
    async with AsyncExitStack() as opened, asyncio.timeout(WITHIN_S):
        with frozen(own_stack, "worker"):
            order_id = (await caller.place(order_body(TEE))).json()["id"]
            from_the_start = await opened.enter_async_context(watching(caller, order_id))
            after_the_first = await opened.enter_async_context(watching(caller, order_id, "1"))
            websocket = await opened.enter_async_context(live(caller, order_id))
        seen = entries_of(await from_the_start.events())
        assert entries_of(await after_the_first.events()) == seen[1:]
        assert await all_messages(websocket) == seen

    assert seen == (await caller.order(order_id))["timeline"]


async def test_a_killed_postgres_costs_a_stream_no_event(own_stack: RunningStack, caller: Caller) -> None:
    order_id = await waiting_order(caller)

    async with watching(caller, order_id) as stream, live(caller, order_id) as websocket:
        first = await stream.events(until="approval_requested")
        os.kill(family(own_stack, "postgres")[0].pid, signal.SIGKILL)
        await until_ready(caller)
        await approve(caller, order_id)
        async with asyncio.timeout(WITHIN_S):
            seen = entries_of(first + await stream.events())
            assert await all_messages(websocket) == seen

    assert seen == (await caller.order(order_id))["timeline"]


async def test_a_postgres_that_hangs_is_waited_for(own_stack: RunningStack, caller: Caller) -> None:
    order_id, log = await waiting_order(caller), ApiLog(own_stack)

    async with watching(caller, order_id) as stream:
        first = await stream.events(until="approval_requested")
        # It breaks no connection: what ends the one that listens is a bound of ours.
        with frozen(own_stack, "postgres"):
            async with asyncio.timeout(WITHIN_S):
                while "order events cannot be read" not in log.text():
                    await asyncio.sleep(POLL_S)
        await until_ready(caller)
        await approve(caller, order_id)
        async with asyncio.timeout(WITHIN_S):
            seen = entries_of(first + await stream.events())

    assert seen == (await caller.order(order_id))["timeline"]


async def test_what_is_committed_while_nobody_listens_is_told_afterwards(
    own_stack: RunningStack, caller: Caller
) -> None:
    order_id = await waiting_order(caller)
    database = await asyncpg.connect(own_stack.database_url)

    async with watching(caller, order_id) as stream:
        first = await stream.events(until="approval_requested")
        ended = await database.fetchval(END_LISTENERS)
        await approve(caller, order_id)
        while (await caller.order(order_id))["status"] != "completed":
            ended += await database.fetchval(END_LISTENERS)
        async with asyncio.timeout(WITHIN_S):
            seen = entries_of(first + await stream.events())
    await database.close()

    assert ended > 0
    assert seen == (await caller.order(order_id))["timeline"]


async def test_a_notice_that_never_comes_costs_seconds_and_no_event(own_stack: RunningStack, caller: Caller) -> None:
    order_id = await waiting_order(caller)
    database = await asyncpg.connect(own_stack.database_url)

    async with watching(caller, order_id) as stream:
        first = await stream.events(until="approval_requested")
        await database.execute("ALTER TABLE followthrough.order_events DISABLE TRIGGER order_events_tell")
        await approve(caller, order_id)
        async with asyncio.timeout(WITHIN_S):
            seen = entries_of(first + await stream.events())
        await database.execute("ALTER TABLE followthrough.order_events ENABLE TRIGGER order_events_tell")
    await database.close()

    assert seen == (await caller.order(order_id))["timeline"]


async def test_a_stopping_api_ends_its_streams_at_once_and_the_next_one_goes_on_with_them(
    own_stack: RunningStack, caller: Caller
) -> None:
    order_id, log = await waiting_order(caller), ApiLog(own_stack)
    api = family(own_stack, "api")[0]

    async with watching(caller, order_id) as stream, live(caller, order_id) as websocket:
        first = await stream.events(until="approval_requested")
        began = asyncio.get_running_loop().time()
        api.terminate()
        async with asyncio.timeout(STOPPED_WITHIN_S):
            # It ends as a whole answer does, and not within an event.
            assert await stream.events() == []
            assert stream.retry_ms in range(500, 3_001)
            with pytest.raises(ConnectionClosedError):
                await all_messages(websocket)
            while api.is_running() and api.status() != "zombie":
                await asyncio.sleep(POLL_S)
        assert asyncio.get_running_loop().time() - began < STOPPED_WITHIN_S
    assert websocket.close_code == CloseCode.SERVICE_RESTART
    assert log.troubles() == []

    await until_back(caller)
    await approve(caller, order_id)
    rest = await all_events(caller, order_id, first[-1].id)
    assert entries_of(first) + rest == (await caller.order(order_id))["timeline"]


async def test_a_stopping_api_waits_for_nobody_who_does_not_read(own_stack: RunningStack, caller: Caller) -> None:
    async with open_shop(own_stack) as shop:
        order_id = await long_order(shop, caller)
    log, api = ApiLog(own_stack), family(own_stack, "api")[0]

    reader, writer = await raw_stream(caller, order_id)
    await reader.readuntil(b"data: ")
    websocket = await idle_live(caller, order_id)
    assert json.loads(await websocket.recv())["sequence"] == 1
    api.terminate()
    async with asyncio.timeout(STOPPED_WITHIN_S):
        while api.is_running() and api.status() != "zombie":
            await asyncio.sleep(POLL_S)
    writer.close()
    websocket.transport.abort()
    assert log.troubles() == []

    await until_back(caller)


async def until_back(caller: Caller) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                await until_ready(caller)
            except httpx.TransportError:
                await asyncio.sleep(POLL_S)
            else:
                return
