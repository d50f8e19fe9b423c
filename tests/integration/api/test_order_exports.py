"""Long exports: complete, no burden to anybody else, and gone as soon as their client is."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest
from sqlalchemy import text

from api.order_exporting import EXPORTS_AT_ONCE
from tests.acceptance.client import POLL_S, WITHIN_S, Caller, Door, assert_problem
from tests.many_orders import many_orders
from tests.shop import Shop
from tests.stack_session import RunningStack
from tests.watching import ApiLog, metric, raw_get, reset

pytestmark = pytest.mark.outage

EXPORTS = "followthrough_order_exports"
PATH = "/v1/orders.csv"
# More than the buffers of a connection hold: about 9 MB.
COUNT = 60_000
FREED_WITHIN_S = 1.0
OF_EXPORTS = "FROM pg_stat_activity WHERE application_name = 'followthrough api: exports'"
WAITING_EXPORTS = f"{OF_EXPORTS} AND wait_event_type = 'Lock'"


@pytest.fixture(scope="module")
async def buyer(door: Door, shop: Shop) -> AsyncIterator[Caller]:
    """A customer with very many orders."""
    found = door.customer()
    async with many_orders(shop, found.subject, COUNT, datetime.now(UTC)):
        yield found


async def until_exports_are(stack: RunningStack, count: int, within_s: float = WITHIN_S) -> None:
    async with asyncio.timeout(within_s):
        while await metric(stack, EXPORTS) != count:
            await asyncio.sleep(POLL_S)


async def connections_in_use(shop: Shop) -> int:
    """How many of the exports' connections Postgres works for, or keeps a transaction for."""
    async with shop.engine.connect() as connection:
        return int(await connection.scalar(text(f"SELECT count(*) {OF_EXPORTS} AND state <> 'idle'")) or 0)


async def until_nothing_is_read(shop: Shop) -> None:
    """Wait until no page was asked for within a second: nothing more can be sent."""
    latest = text(f"SELECT max(query_start) > clock_timestamp() - interval '1 second' {OF_EXPORTS}")
    async with asyncio.timeout(WITHIN_S):
        while True:
            async with shop.engine.connect() as connection:
                if await connection.scalar(latest) is False:
                    return
            await asyncio.sleep(POLL_S)


async def test_every_order_comes_once_newest_first(shop: Shop, buyer: Caller) -> None:
    answer = await buyer.get(PATH)

    records = list(csv.DictReader(io.StringIO(answer.text, newline=""), strict=True))
    async with shop.engine.connect() as connection:
        rows = await connection.execute(
            text("SELECT id, status, total FROM followthrough.orders WHERE customer_id = :id ORDER BY created_at DESC"),
            {"id": buyer.subject},
        )
        expected = [(row.id, row.status, str(row.total)) for row in rows]
    assert len(expected) == COUNT
    assert [(found["id"], found["status"], found["total_amount"]) for found in records] == expected


async def test_who_does_not_read_holds_no_connection_to_postgres_and_frees_the_place_by_leaving(
    stack: RunningStack, shop: Shop, buyer: Caller
) -> None:
    log = ApiLog(stack)
    _, polite = await raw_get(buyer, PATH)
    _, crashing = await raw_get(buyer, PATH)
    await until_exports_are(stack, 2)
    await until_nothing_is_read(shop)
    assert await metric(stack, EXPORTS) == 2
    assert await connections_in_use(shop) == 0

    polite.close()
    await until_exports_are(stack, 1, FREED_WITHIN_S)
    reset(crashing)
    await until_exports_are(stack, 0, FREED_WITHIN_S)
    assert log.troubles() == []


async def test_who_leaves_while_a_page_is_read_frees_the_place_and_the_connection(
    stack: RunningStack, shop: Shop, buyer: Caller
) -> None:
    log = ApiLog(stack)
    async with buyer.http.stream("GET", PATH, headers=buyer.headers) as answer:
        await anext(answer.aiter_raw())

    await until_exports_are(stack, 0, FREED_WITHIN_S)
    async with asyncio.timeout(FREED_WITHIN_S):
        while await connections_in_use(shop):
            await asyncio.sleep(POLL_S)
    assert log.troubles() == []


async def test_who_takes_nothing_for_long_is_dropped(stack: RunningStack, buyer: Caller) -> None:
    log = ApiLog(stack)
    reader, writer = await raw_get(buyer, PATH)
    await until_exports_are(stack, 1)
    await until_exports_are(stack, 0)

    async with asyncio.timeout(WITHIN_S):
        rest = await reader.read()
    writer.close()
    assert not rest.endswith(b"0\r\n\r\n")
    assert log.troubles() == []


async def test_one_more_than_may_be_is_refused_while_other_requests_are_answered(
    stack: RunningStack, shop: Shop, buyer: Caller
) -> None:
    clients = [await raw_get(buyer, PATH) for _ in range(EXPORTS_AT_ONCE)]
    await until_exports_are(stack, EXPORTS_AT_ONCE)

    refused = await buyer.get(PATH)
    listed = await buyer.get("/v1/orders", limit=1)

    assert_problem(refused, 503, "too_many_exports")
    assert int(refused.headers["retry-after"]) >= 1
    assert listed.status_code == 200
    for _, writer in clients:
        reset(writer)
    await until_exports_are(stack, 0, FREED_WITHIN_S)
    assert (await buyer.get(PATH, sku="MANY-C")).status_code == 200


async def test_an_export_that_cannot_go_on_breaks_off_and_does_not_seem_complete(
    stack: RunningStack, shop: Shop, buyer: Caller
) -> None:
    async with buyer.http.stream("GET", PATH, headers=buyer.headers) as answer:
        assert answer.status_code == 200
        chunks = answer.aiter_raw()
        await anext(chunks)
        await until_nothing_is_read(shop)
        async with shop.engine.connect() as connection:
            await connection.execute(text("LOCK TABLE followthrough.orders IN ACCESS EXCLUSIVE MODE"))
            rest = asyncio.create_task(drain(chunks))
            async with asyncio.timeout(WITHIN_S):
                while not await connection.scalar(text(f"SELECT count(pg_terminate_backend(pid)) {WAITING_EXPORTS}")):
                    await asyncio.sleep(POLL_S)

        with pytest.raises(httpx.RemoteProtocolError):
            await rest

    await until_exports_are(stack, 0)
    assert (await buyer.get(PATH, sku="MANY-C")).status_code in (200, 503)


async def drain(chunks: AsyncIterator[bytes]) -> None:
    async for _ in chunks:
        pass


async def test_exports_are_refused_in_words_while_postgres_does_not_answer(shop: Shop, buyer: Caller) -> None:
    async with shop.engine.begin() as connection:
        await connection.execute(text("LOCK TABLE followthrough.orders IN ACCESS EXCLUSIVE MODE"))
        refused = await buyer.get(PATH)

    assert_problem(refused, 503, "temporarily_unavailable")
