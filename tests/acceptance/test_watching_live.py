"""An order watched over a WebSocket: the same events as its server-sent ones."""

import asyncio
import json

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from tests.acceptance.client import BIKE, POLL_S, WITHIN_S, Caller, Door
from tests.stack_session import RunningStack
from tests.watching import WATCHERS, ApiLog, Entry, all_events, all_messages, live, metric, short_lived

UNKNOWN = "ord_00000000000000000000000000"


async def test_the_messages_are_the_timeline_and_it_closes_after_the_final_one(customer: Caller) -> None:
    placed = await customer.placed()

    async with asyncio.timeout(WITHIN_S), live(customer, placed["id"]) as websocket:
        entries = await all_messages(websocket)

    assert websocket.close_code == 1000
    assert entries == (await customer.order(placed["id"]))["timeline"]
    assert entries == await all_events(customer, placed["id"])


async def test_it_resumes_at_each_position_with_no_gap_and_no_duplicate(customer: Caller) -> None:
    placed = await customer.placed()
    timeline = (await customer.until(placed["id"], "completed"))["timeline"]

    for position in range(len(timeline) + 1):
        async with asyncio.timeout(WITHIN_S), live(customer, placed["id"], f"?after={position}") as websocket:
            assert await all_messages(websocket) == timeline[position:]
        assert websocket.close_code == 1000


async def test_what_happens_while_it_is_open_is_told_and_what_the_client_says_is_ignored(
    customer: Caller, operator: Caller
) -> None:
    placed = await customer.placed(sku=BIKE, quantity=1)

    async with asyncio.timeout(WITHIN_S), live(customer, placed["id"]) as websocket:
        entries: list[Entry] = []
        while not entries or entries[-1]["type"] != "approval_requested":
            entries.append(json.loads(await websocket.recv()))
        await websocket.send("is anybody there?")
        await websocket.send(b"\x00")
        await operator.post(f"/v1/admin/orders/{placed['id']}/approve", json={})
        entries += await all_messages(websocket)

    assert entries == (await customer.order(placed["id"]))["timeline"]
    assert entries[-1]["type"] == "completed"


async def refusal(caller: Caller, order_id: str, query: str = "") -> tuple[int, str]:
    """The status and the problem's code that answer the handshake."""
    with pytest.raises(InvalidStatus) as refused:
        async with live(caller, order_id, query):
            pass
    response = refused.value.response
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-content-type-options"] == "nosniff"
    problem = json.loads(response.body or b"")
    assert problem["request_id"] == response.headers["x-request-id"]
    return response.status_code, problem["code"]


async def test_it_is_refused_before_it_is_accepted_as_reading_the_order_is(door: Door) -> None:
    ada, bob, stranger = door.customer(), door.customer(), door.customer()
    stranger.headers = {}
    placed = await ada.placed()

    assert await refusal(stranger, placed["id"]) == (401, "unauthenticated")
    assert await refusal(stranger, "not-an-id") == (401, "unauthenticated")
    assert await refusal(door.customer("jobs:write"), "not-an-id") == (403, "forbidden")
    assert await refusal(bob, placed["id"]) == (404, "not_found")
    assert await refusal(ada, UNKNOWN) == (404, "not_found")
    assert await refusal(ada, "not-an-id") == (404, "not_found")
    assert await refusal(ada, "not-an-id/more") == (404, "not_found")


@pytest.mark.parametrize("query", ["?after=x", "?after=", "?after=-1", "?after=99", "?after=1&after=2"])
async def test_what_is_no_event_of_the_order_cannot_be_resumed_after(customer: Caller, query: str) -> None:
    placed = await customer.placed()

    assert await refusal(customer, placed["id"], query) == (422, "invalid_request")


async def test_clients_that_go_away_leave_neither_a_place_nor_an_error(stack: RunningStack, customer: Caller) -> None:
    placed = await customer.placed(sku=BIKE, quantity=1)
    before, log = await metric(stack, WATCHERS), ApiLog(stack)

    for leaves_politely in (True, False) * 3:
        async with live(customer, placed["id"]) as websocket:
            await websocket.recv()
            if not leaves_politely:
                websocket.transport.abort()
    async with asyncio.timeout(WITHIN_S):
        while await metric(stack, WATCHERS) > before:
            await asyncio.sleep(POLL_S)
    await customer.post(f"/v1/orders/{placed['id']}/cancel")

    assert log.troubles() == []


async def test_it_ends_with_the_token_that_opened_it(stack: RunningStack, customer: Caller) -> None:
    placed = await customer.placed(sku=BIKE, quantity=1)
    soon_expired = short_lived(stack, customer)

    async with asyncio.timeout(WITHIN_S), live(soon_expired, placed["id"]) as websocket:
        with pytest.raises(ConnectionClosedError):
            await all_messages(websocket)

    assert websocket.close_code == 1008
    assert await refusal(soon_expired, placed["id"]) == (401, "unauthenticated")
    await customer.post(f"/v1/orders/{placed['id']}/cancel")


async def test_a_message_of_more_than_64_kib_ends_it(customer: Caller) -> None:
    placed = await customer.placed(sku=BIKE, quantity=1)

    async with live(customer, placed["id"]) as websocket:
        await websocket.send("x" * (64 * 1024 + 1))
        with pytest.raises(ConnectionClosedError) as closed:
            async with asyncio.timeout(WITHIN_S):
                await all_messages(websocket)
    await customer.post(f"/v1/orders/{placed['id']}/cancel")

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
