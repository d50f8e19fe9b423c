"""One who watches and does not read holds up nobody, is dropped, and may come back for the rest."""

import asyncio
import json
import re
import socket
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import insert
from websockets.exceptions import ConnectionClosedError

from contracts.ids import order_id_for
from contracts.orders import EventType, OrderStatus
from database.tables import order_events, orders
from tests.acceptance.client import POLL_S, WITHIN_S, Caller
from tests.shop import ADA, Shop
from tests.stack_session import RunningStack
from tests.watching import DROPPED, WATCHERS, ApiLog, Entry, all_events, live, metric, raw_stream

# More than the buffers between us and a client take (Linux: 4 MiB for sending): whoever reads none of it blocks.
EVENTS = 100
DETAIL = "x" * 100_000


async def long_order(shop: Shop, customer: Caller) -> str:
    """An order of this customer with a long story."""
    order_id, at = order_id_for(customer.subject, uuid4().hex), datetime.now(UTC)
    order = {
        "id": order_id,
        "customer_id": customer.subject,
        "status": OrderStatus.COMPLETED,
        "phase": "closed",
        "lines": [],
        "total": 1_999,
        "currency": "usd",
        "ship_to": ADA.model_dump(),
        "request_hash": "",
        "request_id": "",
        "run_id": "",
        "created_at": at,
        "updated_at": at,
    }
    types = [EventType.ACCEPTED, *[EventType.RETRIED] * (EVENTS - 2), EventType.COMPLETED]
    entries = [
        {
            "order_id": order_id,
            "sequence": sequence,
            "key": str(sequence),
            "type": type_,
            "at": at + timedelta(seconds=sequence),
            "detail": DETAIL,
        }
        for sequence, type_ in enumerate(types, 1)
    ]
    async with shop.engine.begin() as connection:
        await connection.execute(insert(orders), order)
        await connection.execute(insert(order_events), entries)
    return order_id


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
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.setblocking(False)
    url = customer.http.base_url
    await asyncio.get_running_loop().sock_connect(raw, (url.host, url.port))

    # One message waits to be taken, and then no more is read.
    websocket = await live(customer, order_id, sock=raw, max_queue=1, ping_interval=None)
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
