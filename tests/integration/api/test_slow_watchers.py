"""One who watches and does not read holds up nobody, is dropped, and may come back for the rest."""

import asyncio
import json
import re

import pytest
from websockets.exceptions import ConnectionClosedError

from tests.acceptance.client import POLL_S, WITHIN_S, Caller
from tests.long_orders import DETAIL, EVENTS, long_order
from tests.shop import Shop
from tests.stack_session import RunningStack
from tests.watching import DROPPED, WATCHERS, ApiLog, Entry, all_events, idle_live, live, metric, raw_stream

pytestmark = pytest.mark.outage


async def until_dropped(stack: RunningStack, dropped: float, watchers: float) -> None:
    async with asyncio.timeout(WITHIN_S):
        while await metric(stack, DROPPED) == dropped:
            await asyncio.sleep(POLL_S)
        while await metric(stack, WATCHERS) > watchers:
            await asyncio.sleep(POLL_S)


def assert_whole(entries: list[Entry]) -> None:
    assert [entry["sequence"] for entry in entries] == list(range(1, EVENTS + 1))
    assert all(entry["detail"] == DETAIL for entry in entries)


async def test_a_slow_reader_of_events_is_dropped_and_resumes(
    stack: RunningStack, shop: Shop, customer: Caller
) -> None:
    order_id = await long_order(shop, customer)
    watchers, dropped, log = await metric(stack, WATCHERS), await metric(stack, DROPPED), ApiLog(stack)

    reader, writer = await raw_stream(customer, order_id)
    # Others are not held up by it.
    assert_whole(await all_events(customer, order_id))
    assert await metric(stack, DROPPED) == dropped
    await until_dropped(stack, dropped, watchers)

    # What lay in the buffers may still come, and then the connection is over without an end of the answer.
    async with asyncio.timeout(WITHIN_S):
        rest = await reader.read()
    writer.close()
    assert not rest.endswith(b"0\r\n\r\n")
    ids = [int(found) for found in re.findall(rb"\nid: (\d+)\n\n", rest)]
    assert ids == list(range(1, len(ids) + 1))
    assert len(ids) < EVENTS
    resumed = await all_events(customer, order_id, str(ids[-1] if ids else 0))
    assert [entry["sequence"] for entry in resumed] == list(range(len(ids) + 1, EVENTS + 1))
    assert log.troubles() == []


async def test_a_slow_reader_of_a_websocket_is_dropped_and_resumes(
    stack: RunningStack, shop: Shop, customer: Caller
) -> None:
    order_id = await long_order(shop, customer)
    watchers, dropped, log = await metric(stack, WATCHERS), await metric(stack, DROPPED), ApiLog(stack)
    websocket = await idle_live(customer, order_id)
    await until_dropped(stack, dropped, watchers)

    seen = []
    async with asyncio.timeout(WITHIN_S):
        try:
            while True:
                seen.append(json.loads(await websocket.recv()))
        except ConnectionClosedError:
            await websocket.close()
    assert len(seen) < EVENTS
    async with live(customer, order_id, f"?after={len(seen)}") as again:
        seen += [json.loads(message) async for message in again]
    assert_whole(seen)
    assert log.troubles() == []
