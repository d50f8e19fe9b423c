"""Many jobs by one request: what is accepted, how far it is, what failed of it, and how it is cancelled."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.acceptance.client import POLL_S, WITHIN_S, Caller, Door, assert_problem, new_key
from tests.jobs import Json, listed, read

PATH = "/v1/jobs/batch"
UNKNOWN = f"{PATH}/bat_00000000000000000000000000"
MIB = 1024 * 1024
STATUSES = ("scheduled", "queued", "running", "retrying", "succeeded", "failed", "cancelled", "timed_out")


@pytest.fixture
def owner(door: Door) -> Caller:
    return door.customer("jobs:write")


async def ask_for(caller: Caller, items: Any, *, key: str | None = None, **body: Any) -> httpx.Response:
    asked = {"type": "diagnostics.echo", "items": items, **body}
    headers = {"Idempotency-Key": key or new_key(), "Content-Type": "application/json"}
    return await caller.post(PATH, headers, content=json.dumps(asked))


async def accepted(caller: Caller, items: Any, **body: Any) -> Json:
    answer = await ask_for(caller, items, **body)
    assert answer.status_code == 202, answer.text
    batch: Json = answer.json()
    return batch


async def now(caller: Caller, batch: Json) -> Json:
    answer = await caller.get(batch["links"]["self"])
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def finished(caller: Caller, batch: Json, within_s: float = WITHIN_S) -> Json:
    async with asyncio.timeout(within_s):
        while (found := await now(caller, batch))["status"] != "finished":
            await asyncio.sleep(POLL_S)
    return found


def echoes(count: int, **arguments: Any) -> list[Json]:
    return [{"message": str(number), **arguments} for number in range(count)]


def counted(**counts: int) -> Json:
    return {status: counts.get(status, 0) for status in STATUSES}


async def test_a_batch_is_accepted_and_each_of_its_jobs_is_run(owner: Caller) -> None:
    answer = await ask_for(owner, echoes(150), queue="jobs-bulk", priority=4)

    assert answer.status_code == 202, answer.text
    batch = answer.json()
    assert answer.headers["location"] == f"{PATH}/{batch['id']}" == batch["links"]["self"]
    assert (batch["status"], batch["progress"]["total"]) == ("running", 150)
    assert sum(batch["counts"].values()) == 150
    done = await finished(owner, batch, within_s=60)
    assert done["counts"] == counted(succeeded=150)
    assert done["progress"] == {"done": 150, "total": 150}
    assert done["failures"] == {"count": 0, "first": []}
    assert (done["subject"], done["queue"], done["priority"]) == (owner.subject, "jobs-bulk", 4)
    jobs = [await read(owner, job) for job in await listed(owner, batch=batch["id"], limit=100)]
    assert {(job["status"], job["attempt"], job["queue"], job["priority"], job["batch"]) for job in jobs} == {
        ("succeeded", 1, "jobs-bulk", 4, batch["id"])
    }
    assert all(job["result"]["message"] == job["arguments"]["message"] for job in jobs)
    assert len({job["arguments"]["message"] for job in jobs}) == 100
    assert done["finished_at"] >= max(job["finished_at"] for job in jobs)


async def test_every_job_is_listed_from_the_start_with_its_true_status(owner: Caller) -> None:
    batch = await accepted(owner, echoes(105, sleep_s=60))

    async with asyncio.timeout(WITHIN_S):
        while not (await now(owner, batch))["counts"]["running"]:
            await asyncio.sleep(POLL_S)

    queued = await listed(owner, batch=batch["id"], status="queued", limit=100)
    running = await listed(owner, batch=batch["id"], status="running", limit=100)
    counts = (await now(owner, batch))["counts"]
    assert counts["queued"] + counts["running"] == 105
    assert queued
    assert running
    # One that is held back can be read, too.
    held = await read(owner, min(queued, key=lambda job: str(job["id"])))
    assert held["status"] in ("queued", "running")
    assert await listed(owner, batch=batch["id"], type="reports.unheard_of") == []
    await owner.post(batch["links"]["cancel"])


async def test_what_failed_is_reported_with_its_place_and_reason(owner: Caller) -> None:
    items = echoes(30)
    for number in (3, 17, 29):
        items[number]["fail_times"] = 9

    done = await finished(owner, await accepted(owner, items), within_s=60)

    assert done["counts"] == counted(succeeded=27, failed=3)
    failures = done["failures"]
    assert failures["count"] == 3
    assert [one["item"] for one in failures["first"]] == [3, 17, 29]
    error = {"code": "told_to_fail", "message": "attempt 5 fails, as told"}
    assert {(one["status"], str(one["error"])) for one in failures["first"]} == {("failed", str(error))}
    listed_there = (await owner.get(done["links"]["failed"])).json()["items"]
    assert {job["id"] for job in listed_there} == {one["id"] for one in failures["first"]}


async def test_no_more_than_twenty_failures_are_shown(owner: Caller) -> None:
    done = await finished(owner, await accepted(owner, echoes(25, fail_times=9)), within_s=60)

    assert done["failures"]["count"] == 25
    assert [one["item"] for one in done["failures"]["first"]] == list(range(20))


async def test_a_cancelled_batch_ends_what_waits_at_once_and_what_runs_soon(owner: Caller) -> None:
    batch = await accepted(owner, echoes(120, sleep_s=60))
    async with asyncio.timeout(WITHIN_S):
        while not (await now(owner, batch))["counts"]["running"]:
            await asyncio.sleep(POLL_S)

    answer = await owner.post(batch["links"]["cancel"])

    assert answer.status_code == 200, answer.text
    cancelled = answer.json()
    assert cancelled["cancel_requested"]
    assert cancelled["counts"]["queued"] == 0
    done = await finished(owner, batch)
    assert done["counts"] == counted(cancelled=120)
    again = (await owner.post(batch["links"]["cancel"])).json()
    assert again["counts"] == done["counts"]


async def test_cancelling_what_is_finished_changes_nothing(owner: Caller) -> None:
    done = await finished(owner, await accepted(owner, echoes(2)))

    cancelled = (await owner.post(done["links"]["cancel"])).json()

    assert (cancelled["status"], cancelled["counts"]) == ("finished", counted(succeeded=2))


async def test_the_same_key_and_body_give_the_same_batch_and_another_body_is_refused(owner: Caller) -> None:
    key = new_key()

    first, *others = await asyncio.gather(*(ask_for(owner, echoes(3), key=key) for _ in range(10)))

    answers = [first, *others]
    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    replayed = [answer for answer in answers if answer.status_code == 200]
    assert all(answer.headers["idempotent-replayed"] == "true" for answer in replayed)
    assert len(await listed(owner)) == 3
    assert_problem(await ask_for(owner, echoes(4), key=key), 422, "idempotency_key_reused")


async def test_without_a_key_each_request_makes_a_batch_and_a_bad_key_is_refused(owner: Caller) -> None:
    body = {"type": "diagnostics.echo", "items": echoes(1)}

    batches = [await owner.post(PATH, json=body) for _ in range(2)]

    assert [answer.status_code for answer in batches] == [202, 202]
    assert len({answer.json()["id"] for answer in batches}) == 2
    assert_problem(await ask_for(owner, echoes(1), key="a b"), 400, "idempotency_key_invalid")


async def test_ten_thousand_are_accepted_and_one_more_is_not(owner: Caller) -> None:
    batch = await accepted(owner, echoes(10_000))
    cancelled = (await owner.post(batch["links"]["cancel"])).json()

    assert batch["progress"]["total"] == 10_000
    assert cancelled["progress"]["done"] + cancelled["counts"]["running"] == 10_000
    problem = assert_problem(await ask_for(owner, echoes(10_001)), 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == ["items"]
    await finished(owner, batch)


@pytest.mark.parametrize(
    ("items", "changes", "field"),
    [
        ([], {}, "items"),
        ({}, {}, "items"),
        ([1], {}, "items.0"),
        ([{"message": "m"}, {}], {}, "items.1.message"),
        ([*echoes(17), {"message": 1}], {}, "items.17.message"),
        ([*echoes(17), {"message": "m", "more": 1}], {}, "items.17.more"),
        ([{"message": "\ud800"}], {}, "items.0"),
        (echoes(1), {"type": "reports.unheard_of"}, "type"),
        (echoes(1), {"queue": "orders"}, "queue"),
        (echoes(1), {"priority": 0}, "priority"),
        (echoes(1), {"unique_key": "x"}, "unique_key"),
        (echoes(1), {"delay_s": 1}, "delay_s"),
    ],
)
async def test_one_wrong_item_and_nothing_is_accepted(
    owner: Caller, items: Any, changes: dict[str, Any], field: str
) -> None:
    problem = assert_problem(await ask_for(owner, items, **changes), 422, "invalid_request")

    assert field in [error["field"] for error in problem["errors"]]
    assert await listed(owner) == []


async def test_however_many_items_are_wrong_fifty_are_named(owner: Caller) -> None:
    problem = assert_problem(await ask_for(owner, [{}] * 10_000), 422, "invalid_request")

    assert [error["field"] for error in problem["errors"]] == [f"items.{number}.message" for number in range(50)]


async def test_a_batch_may_have_four_mib_and_no_more(owner: Caller) -> None:
    three_mib = await accepted(owner, [{"message": "x" * 1024}] * 3 * 1024)
    await owner.post(three_mib["links"]["cancel"])

    problem = assert_problem(await ask_for(owner, [{"message": "x" * MIB}] * 4), 413, "request_too_large")

    assert str(4 * MIB) in problem["detail"]
    await finished(owner, three_mib)


async def test_an_item_may_have_256_kib_and_no_more(owner: Caller) -> None:
    brief = {"message": "x"}
    rest = len(json.dumps({"message": "", "fail_times": 0, "sleep_s": 0.0}, separators=(",", ":")))
    largest = await accepted(owner, [brief, {"message": "x" * (256 * 1024 - rest)}])

    problem = assert_problem(
        await ask_for(owner, [brief, {"message": "x" * (256 * 1024 - rest + 1)}]), 413, "request_too_large"
    )

    assert [error["field"] for error in problem["errors"]] == ["items.1"]
    assert "pass its id" in problem["detail"]
    assert (await finished(owner, largest))["counts"] == counted(succeeded=2)


async def test_anothers_batch_does_not_exist_and_an_operator_sees_every_one(
    door: Door, owner: Caller, operator: Caller
) -> None:
    batch, other = await accepted(owner, echoes(1)), door.customer("jobs:write")

    assert_problem(await other.get(batch["links"]["self"]), 404, "not_found")
    assert_problem(await other.post(batch["links"]["cancel"]), 404, "not_found")
    assert await listed(other, batch=batch["id"]) == []
    assert (await now(operator, batch))["id"] == batch["id"]
    assert (await operator.post(batch["links"]["cancel"])).status_code == 200


async def test_what_is_no_batch_is_not_found(owner: Caller) -> None:
    for path in (UNKNOWN, f"{PATH}/nonsense"):
        assert_problem(await owner.get(path), 404, "not_found")
        assert_problem(await owner.post(f"{path}/cancel"), 404, "not_found")
    assert_problem(await owner.get("/v1/jobs", batch="nonsense"), 422, "invalid_request")


async def test_batches_are_for_those_who_may(door: Door, operator: Caller) -> None:
    caller = door.customer("orders:write")

    assert_problem(await ask_for(caller, echoes(1)), 403, "forbidden")
    assert_problem(await ask_for(operator, echoes(1)), 403, "forbidden")
    assert_problem(await caller.get(UNKNOWN), 403, "forbidden")
    assert_problem(await caller.post(f"{UNKNOWN}/cancel"), 403, "forbidden")
