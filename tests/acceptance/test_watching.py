"""Server-sent events of an order: every event once, in order, from wherever one left off, until the final one."""

import asyncio

import httpx
import pytest

from tests.acceptance.client import BIKE, POLL_S, WITHIN_S, Caller, Door, assert_problem
from tests.stack_session import RunningStack
from tests.watching import (
    WATCHERS,
    ApiLog,
    all_events,
    entries_of,
    metric,
    raw_stream,
    reset,
    short_lived,
    watching,
)

UNKNOWN = "ord_00000000000000000000000000"
DECLINED = "pm_card_visa_chargeDeclined"


async def test_every_event_is_told_as_it_stands_in_the_timeline_and_the_final_one_ends_the_stream(
    customer: Caller,
) -> None:
    placed = await customer.placed()

    entries = await all_events(customer, placed["id"])

    assert entries == (await customer.order(placed["id"]))["timeline"]
    assert [entry["type"] for entry in entries][-1] == "completed"


async def test_nothing_between_us_and_a_watcher_may_keep_events_back(customer: Caller) -> None:
    placed = await customer.placed()

    async with watching(customer, placed["id"]) as stream:
        headers = stream.response.headers

    assert headers["cache-control"] == "no-store"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-content-type-options"] == "nosniff"


async def test_a_rejected_and_a_cancelled_order_end_their_streams_too(customer: Caller) -> None:
    declined = await customer.placed(payment_method=DECLINED)
    assert (await all_events(customer, declined["id"]))[-1]["type"] == "rejected"

    waiting = await customer.placed(sku=BIKE, quantity=1)
    async with watching(customer, waiting["id"]) as stream:
        await stream.events(until="approval_requested")
        assert (await customer.post(f"/v1/orders/{waiting['id']}/cancel")).status_code == 200
        assert (await stream.events())[-1].entry["type"] == "cancelled"


async def test_a_stream_resumes_at_each_position_with_no_gap_and_no_duplicate(customer: Caller) -> None:
    placed = await customer.placed()
    timeline = (await customer.until(placed["id"], "completed"))["timeline"]

    for position, entry in enumerate([{"sequence": 0}, *timeline[:-1]]):
        assert await all_events(customer, placed["id"], str(entry["sequence"])) == timeline[position:]


async def test_a_finished_stream_that_is_opened_again_says_that_there_is_no_more(customer: Caller) -> None:
    placed = await customer.placed()
    entries = await all_events(customer, placed["id"])

    headers = customer.headers | {"Last-Event-ID": str(entries[-1]["sequence"])}
    again = await customer.http.get(f"/v1/orders/{placed['id']}/events", headers=headers)

    # The one answer that stops a browser's EventSource for good (WHATWG HTML, 9.2).
    assert (again.status_code, again.content) == (204, b"")


async def test_a_broken_off_stream_goes_on_with_what_happened_meanwhile(customer: Caller, operator: Caller) -> None:
    placed = await customer.placed(sku=BIKE, quantity=1)
    async with watching(customer, placed["id"]) as stream:
        first = await stream.events(until="approval_requested")

    approved = await operator.post(f"/v1/admin/orders/{placed['id']}/approve", json={})
    assert approved.status_code == 202, approved.text
    rest = await all_events(customer, placed["id"], first[-1].id)

    assert entries_of(first) + rest == (await customer.order(placed["id"]))["timeline"]
    assert rest[-1]["type"] == "completed"


@pytest.mark.parametrize(
    "sent", [b"x", b"", b"-1", b"1.5", b"007", b"9999999999", "٣".encode(), b"99", b"1, 2"], ids=repr
)
async def test_what_is_no_event_of_the_order_cannot_be_resumed_after(customer: Caller, sent: bytes) -> None:
    placed = await customer.placed()

    headers = {name.encode(): value.encode() for name, value in customer.headers.items()} | {b"Last-Event-ID": sent}
    answer = await customer.http.get(f"/v1/orders/{placed['id']}/events", headers=headers)

    assert "Last-Event-ID" in assert_problem(answer, 400, "last_event_id_invalid")["detail"]


async def test_who_may_read_an_order_may_watch_it_and_nobody_else(
    http: httpx.AsyncClient, door: Door, operator: Caller
) -> None:
    ada, bob = door.customer(), door.customer()
    placed = await ada.placed()
    path = f"/v1/orders/{placed['id']}/events"

    assert_problem(await http.get(path), 401, "unauthenticated")
    assert_problem(await door.customer("jobs:write").get(path), 403, "forbidden")
    assert_problem(await bob.get(path), 404, "not_found")
    assert_problem(await ada.get(f"/v1/orders/{UNKNOWN}/events"), 404, "not_found")
    assert_problem(await ada.get("/v1/orders/not-an-id/events"), 404, "not_found")
    assert await all_events(operator, placed["id"]) == await all_events(ada, placed["id"])


async def test_a_stream_ends_with_the_token_that_opened_it(stack: RunningStack, customer: Caller) -> None:
    placed = await customer.placed(sku=BIKE, quantity=1)
    soon_expired = short_lived(stack, customer)

    async with watching(soon_expired, placed["id"]) as stream, asyncio.timeout(WITHIN_S):
        assert (await stream.events())[-1].entry["type"] == "approval_requested"

    assert_problem(await soon_expired.get(f"/v1/orders/{placed['id']}/events"), 401, "unauthenticated")
    await customer.post(f"/v1/orders/{placed['id']}/cancel")


@pytest.mark.outage
async def test_a_silent_stream_shows_every_15_s_that_it_lives(customer: Caller) -> None:
    placed = await customer.placed(sku=BIKE, quantity=1)

    async with watching(customer, placed["id"]) as stream:
        await stream.events(until="approval_requested")
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(WITHIN_S):
            await stream.comment()
        assert 14 < asyncio.get_running_loop().time() - began < 18

    await customer.post(f"/v1/orders/{placed['id']}/cancel")


async def test_each_of_50_watchers_sees_every_event_once_while_orders_run(
    stack: RunningStack, customer: Caller
) -> None:
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=WITHIN_S, limits=httpx.Limits()) as http:
        watcher = Caller(http, stack, customer.subject, "orders:read")
        ids = [(await customer.placed())["id"] for _ in range(10)]
        async with asyncio.timeout(WITHIN_S):
            seen = await asyncio.gather(*(all_events(watcher, order_id) for order_id in ids * 5))

    timelines = [(await customer.order(order_id))["timeline"] for order_id in ids]
    assert seen == timelines * 5


async def test_clients_that_go_away_leave_neither_a_place_nor_an_error(stack: RunningStack, customer: Caller) -> None:
    placed = await customer.placed(sku=BIKE, quantity=1)
    before, log = await metric(stack, WATCHERS), ApiLog(stack)

    async with watching(customer, placed["id"]) as stream:
        await stream.events(until="approval_requested")
    rude = [await raw_stream(customer, placed["id"]) for _ in range(5)]
    for reader, _ in rude:
        await reader.readuntil(b"approval_requested")
    assert await metric(stack, WATCHERS) >= before + 5
    for _, writer in rude:
        reset(writer)
    async with asyncio.timeout(WITHIN_S):
        while await metric(stack, WATCHERS) > before:
            await asyncio.sleep(POLL_S)
    await customer.post(f"/v1/orders/{placed['id']}/cancel")

    assert log.troubles() == []
