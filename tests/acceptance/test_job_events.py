"""Server-sent events of a job: how it is now, and then each change, until it is over."""

import asyncio
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.acceptance.client import POLL_S, WITHIN_S, Caller, Door, assert_problem
from tests.jobs import FINAL, Json, accepted, echo, read, until
from tests.stack_session import RunningStack
from tests.watching import ApiLog, Event, metric, raw_get, reset, short_lived_of, watching_path

WATCHERS = "followthrough_job_watchers"
UNKNOWN = "job_00000000000000000000000000"
CHANGING = ("status", "attempt", "progress", "last_error", "next_retry_at")


@pytest.fixture
def owner(door: Door) -> Caller:
    return door.customer("jobs:write")


async def all_states(caller: Caller, job: Json, last_event_id: str | None = None) -> list[Json]:
    """Each event's data, to the end of the stream."""
    async with asyncio.timeout(WITHIN_S), watching_path(caller, job["links"]["events"], last_event_id) as stream:
        return states_of(await stream.events())


def states_of(events: list[Event]) -> list[Json]:
    assert [event.id for event in events] == [event.entry["status"] for event in events]
    return [event.entry for event in events]


def changing(job: Json) -> Json:
    return {name: job[name] for name in CHANGING}


async def test_a_watcher_sees_a_job_get_on_and_end(owner: Caller) -> None:
    job = await echo(owner, sleep_s=4)

    states = await all_states(owner, job)

    assert states[-1] == changing(await read(owner, job))
    assert states[-1]["status"] == "succeeded"
    told = [state["progress"]["done"] for state in states if state["progress"]]
    assert told == sorted(told)
    assert len(set(told)) >= 3
    assert all(before != after for before, after in pairwise(states))


async def test_why_an_attempt_failed_and_when_the_next_one_is_are_told(owner: Caller) -> None:
    states = await all_states(owner, await echo(owner, fail_times=4))

    retrying = [state for state in states if state["status"] == "retrying"]
    assert retrying
    assert all(state["last_error"]["code"] == "told_to_fail" for state in retrying)
    assert any(state["next_retry_at"] for state in retrying)
    assert (states[-1]["status"], states[-1]["attempt"]) == ("succeeded", 5)


async def test_who_comes_back_hears_first_how_the_job_is_now(owner: Caller) -> None:
    job = await echo(owner, sleep_s=300)
    async with watching_path(owner, job["links"]["events"]) as stream:
        seen = await stream.events(until="running")

    async with watching_path(owner, job["links"]["events"], seen[-1].id) as stream:
        assert (await stream.first()).entry["status"] == "running"
        await owner.post(job["links"]["cancel"])
        async with asyncio.timeout(WITHIN_S):
            assert states_of(await stream.events())[-1]["status"] == "cancelled"


async def test_a_job_that_is_over_is_told_once_and_then_there_is_no_more(owner: Caller) -> None:
    done = await until(owner, await echo(owner), *FINAL)

    assert await all_states(owner, done) == [changing(done)]
    assert await all_states(owner, done, "running") == [changing(done)]
    again = await owner.http.get(done["links"]["events"], headers=owner.headers | {"Last-Event-ID": "succeeded"})
    # The one answer that stops a browser's EventSource for good (WHATWG HTML, 9.2).
    assert (again.status_code, again.content) == (204, b"")


async def test_who_may_read_a_job_may_watch_it_and_nobody_else(
    http: httpx.AsyncClient, door: Door, owner: Caller, operator: Caller
) -> None:
    done = await until(owner, await echo(owner), *FINAL)
    path = done["links"]["events"]

    assert_problem(await http.get(path), 401, "unauthenticated")
    assert_problem(await door.customer("orders:write").get(path), 403, "forbidden")
    assert_problem(await door.customer("jobs:write").get(path), 404, "not_found")
    assert_problem(await owner.get(f"/v1/jobs/{UNKNOWN}/events"), 404, "not_found")
    assert_problem(await owner.get("/v1/jobs/not-an-id/events"), 404, "not_found")
    assert await all_states(operator, done) == [changing(done)]


async def test_a_stream_ends_with_the_token_that_opened_it(stack: RunningStack, owner: Caller) -> None:
    waiting = await accepted(owner, delay_s=3_600)

    states = await all_states(short_lived_of(stack, owner, "jobs:write"), waiting)

    assert [state["status"] for state in states] == ["scheduled"]
    await owner.post(waiting["links"]["cancel"])


async def test_many_watch_the_same_job_and_leave_nothing_behind(stack: RunningStack, owner: Caller) -> None:
    before, log = await metric(stack, WATCHERS), ApiLog(stack)
    job = await echo(owner, sleep_s=4)
    rude = [await raw_get(owner, job["links"]["events"]) for _ in range(5)]
    for reader, _ in rude:
        await reader.readuntil(b"running")
    assert await metric(stack, WATCHERS) >= before + 5
    for _, writer in rude:
        reset(writer)

    async with httpx.AsyncClient(base_url=stack.api_url, timeout=WITHIN_S, limits=httpx.Limits()) as http:
        watcher = Caller(http, stack, owner.subject, "jobs:write")
        seen: list[list[Any]] = await asyncio.gather(*(all_states(watcher, job) for _ in range(30)))

    done = changing(await read(owner, job))
    assert all(states[-1] == done for states in seen)
    async with asyncio.timeout(WITHIN_S):
        while await metric(stack, WATCHERS) > before:
            await asyncio.sleep(POLL_S)
    assert log.troubles() == []
