"""Asking for jobs over HTTP: what is accepted, what is refused, and what is the same job asked for twice."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from tests.acceptance.client import Caller, Door, assert_problem, new_key
from tests.jobs import accepted, ask_for, echo, listed, read, until

UNKNOWN = "/v1/jobs/job_00000000000000000000000000"
FIELDS = {
    *("id", "type", "status", "subject", "arguments", "queue", "priority", "unique_key", "attempt", "progress"),
    *("last_error", "next_retry_at", "result", "run_at", "created_at", "started_at", "finished_at"),
    *("cancel_requested", "batch", "stale", "links"),
}
# Not in the lists.
LARGE_OR_LIVE = {"arguments", "result", "next_retry_at", "stale"}


@pytest.fixture
def owner(door: Door) -> Caller:
    return door.customer("jobs:write")


async def test_a_job_type_shows_the_schemas_of_its_arguments_and_its_result(owner: Caller) -> None:
    answer = await owner.get("/v1/job-types")

    assert answer.status_code == 200
    [found] = [job_type for job_type in answer.json()["items"] if job_type["name"] == "diagnostics.echo"]
    arguments = Draft202012Validator(found["arguments"])
    assert arguments.is_valid({"message": "hello", "fail_times": 1, "sleep_s": 300})
    assert not arguments.is_valid({"message": "hello", "sleep_s": 301})
    assert not arguments.is_valid({"message": "hello", "else": 1})
    assert Draft202012Validator(found["result"]).is_valid({"message": "hello", "attempt": 1})


async def test_a_job_is_accepted_runs_and_tells_its_result(owner: Caller) -> None:
    answer = await ask_for(owner, arguments={"message": "hello"})

    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}" == job["links"]["self"]
    assert set(job) == FIELDS
    assert job["subject"] == owner.subject
    assert job["status"] in ("queued", "running", "succeeded")
    done = await until(owner, job, "succeeded")
    assert done["result"] == {"message": "hello", "attempt": 1}
    assert done["created_at"] <= done["started_at"] <= done["finished_at"]


async def test_the_same_key_and_body_give_the_same_job_and_another_body_is_refused(owner: Caller) -> None:
    key = new_key()
    first = await accepted(owner, key=key)
    await until(owner, first, "succeeded")

    again = await ask_for(owner, key=key)
    other = await ask_for(owner, key=key, arguments={"message": "something else"})

    assert again.status_code == 200
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.json()["id"], again.json()["status"]) == (first["id"], "succeeded")
    assert_problem(other, 422, "idempotency_key_reused")


async def test_fifty_requests_with_one_key_make_one_job(owner: Caller) -> None:
    key = new_key()

    answers = await asyncio.gather(*(ask_for(owner, key=key) for _ in range(50)))

    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await listed(owner)) == 1


async def test_the_key_of_one_subject_is_free_for_another(door: Door) -> None:
    key, ada, bob = new_key(), door.customer("jobs:write"), door.customer("jobs:write")

    assert (await accepted(ada, key=key))["id"] != (await accepted(bob, key=key))["id"]


async def test_a_key_is_required(owner: Caller) -> None:
    body = {"type": "diagnostics.echo", "arguments": {"message": "hello"}}

    assert_problem(await owner.post("/v1/jobs", json=body), 400, "idempotency_key_missing")
    assert_problem(await ask_for(owner, key="a b"), 400, "idempotency_key_invalid")


async def test_one_job_lives_under_a_unique_key_within_its_subject_and_type(door: Door, owner: Caller) -> None:
    first = await accepted(owner, unique_key="nightly", delay_s=3_600)
    key = new_key()

    second = await ask_for(owner, key=key, unique_key="nightly")
    anothers = await accepted(door.customer("jobs:write"), unique_key="nightly", delay_s=3_600)

    assert (second.status_code, second.json()["id"]) == (200, first["id"])
    assert "idempotent-replayed" not in second.headers
    assert anothers["id"] != first["id"]
    # Once it is over the key is free, but whoever was given that job before is given it again.
    assert (await owner.post(first["links"]["cancel"])).json()["status"] == "cancelled"
    third = await accepted(owner, unique_key="nightly")
    replayed = await ask_for(owner, key=key, unique_key="nightly")
    assert third["id"] != first["id"]
    assert (replayed.json()["id"], replayed.headers["idempotent-replayed"]) == (first["id"], "true")


async def test_fifty_requests_under_one_unique_key_make_one_job(owner: Caller) -> None:
    answers = await asyncio.gather(*(ask_for(owner, unique_key="once", delay_s=3_600) for _ in range(50)))

    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": "reports.unheard_of"}, "type"),
        ({"arguments": {}}, "arguments.message"),
        ({"arguments": {"message": 1}}, "arguments.message"),
        ({"arguments": {"message": "\ud800"}}, "arguments"),
        ({"arguments": {"message": "m", "fail_times": "1"}}, "arguments.fail_times"),
        ({"arguments": {"message": "m", "fail_times": True}}, "arguments.fail_times"),
        ({"arguments": {"message": "m", "sleep_s": 300.1}}, "arguments.sleep_s"),
        ({"arguments": {"message": "m", "sleep_s": float("nan")}}, "arguments.sleep_s"),
        ({"arguments": {"message": "m", "more": 1}}, "arguments.more"),
        ({"arguments": {"message": "m", "\ud800": 1}}, "arguments"),
        ({"arguments": "m"}, "arguments"),
        ({"delay_s": -1}, "delay_s"),
        ({"delay_s": 1e300}, "delay_s"),
        ({"run_at": "tomorrow"}, "run_at"),
        ({"run_at": "9999-01-01T00:00:00Z"}, "run_at"),
        ({"queue": "orders"}, "queue"),
        ({"priority": 0}, "priority"),
        ({"priority": 6}, "priority"),
        ({"unique_key": ""}, "unique_key"),
        ({"unique_key": "x" * 256}, "unique_key"),
        ({"something": 1}, "something"),
    ],
)
async def test_what_is_wrong_is_refused_at_the_door_by_its_field(
    owner: Caller, changes: dict[str, Any], field: str
) -> None:
    problem = assert_problem(await ask_for(owner, **changes), 422, "invalid_request")

    assert field in [error["field"] for error in problem["errors"]]
    assert await listed(owner) == []


async def test_a_job_has_one_time_only(owner: Caller) -> None:
    answer = await ask_for(owner, delay_s=1, run_at="2026-03-01T12:00:00Z")

    assert_problem(answer, 422, "invalid_request")


async def test_a_payload_that_is_too_large_is_refused_with_advice(owner: Caller) -> None:
    problem = assert_problem(await ask_for(owner, arguments={"message": "x" * 256 * 1024}), 413, "request_too_large")

    assert "pass its id" in problem["detail"]


async def test_any_text_comes_back_as_it_was_sent(owner: Caller) -> None:
    message = "\x00 'quoted' \U0001f600 \u2028 <script>"
    job = await until(owner, await echo(owner, message=message), "succeeded")

    assert job["arguments"]["message"] == job["result"]["message"] == message


async def test_anothers_job_does_not_exist_and_an_operator_sees_every_one(
    door: Door, owner: Caller, operator: Caller
) -> None:
    job, other = await accepted(owner, delay_s=3_600), door.customer("jobs:write")

    assert_problem(await other.get(job["links"]["self"]), 404, "not_found")
    assert_problem(await other.post(job["links"]["cancel"]), 404, "not_found")
    assert_problem(await other.post(job["links"]["reschedule"], json={"delay_s": 1}), 404, "not_found")
    assert await listed(other) == []
    assert (await read(operator, job))["id"] == job["id"]
    assert job["id"] in [item["id"] for item in await listed(operator)]
    assert (await operator.post(job["links"]["cancel"])).json()["status"] == "cancelled"


async def test_what_is_no_job_is_not_found(owner: Caller) -> None:
    for path in (UNKNOWN, "/v1/jobs/nonsense"):
        assert_problem(await owner.get(path), 404, "not_found")
        assert_problem(await owner.post(f"{path}/cancel"), 404, "not_found")
        assert_problem(await owner.post(f"{path}/reschedule", json={"delay_s": 1}), 404, "not_found")


@pytest.mark.parametrize("scope", ["orders:write", "webhooks:write"])
async def test_jobs_are_for_those_who_may(door: Door, scope: str) -> None:
    caller = door.customer(scope)

    assert_problem(await ask_for(caller), 403, "forbidden")
    for path in ("/v1/jobs", "/v1/job-types", UNKNOWN):
        assert_problem(await caller.get(path), 403, "forbidden")
    for command in ("cancel", "reschedule"):
        assert_problem(await caller.post(f"{UNKNOWN}/{command}", json={"delay_s": 1}), 403, "forbidden")


async def test_an_operator_alone_may_not_ask_for_jobs(operator: Caller) -> None:
    assert_problem(await ask_for(operator), 403, "forbidden")


async def test_lists_are_filtered_and_paged_newest_first(owner: Caller) -> None:
    waiting = [await accepted(owner, delay_s=3_600) for _ in range(3)]
    done = await until(owner, await echo(owner), "succeeded")

    assert [job["id"] for job in await listed(owner)] == [done["id"], *(job["id"] for job in reversed(waiting))]
    assert [job["id"] for job in await listed(owner, status="succeeded")] == [done["id"]]
    assert len(await listed(owner, status="scheduled", type="diagnostics.echo")) == 3
    assert await listed(owner, status="queued") == []
    assert await listed(owner, type="reports.unheard_of") == []
    assert set((await listed(owner))[0]) == FIELDS - LARGE_OR_LIVE
    first = (await owner.get("/v1/jobs", limit=3)).json()
    rest = (await owner.get("/v1/jobs", limit=3, cursor=first["next_cursor"])).json()
    assert [job["id"] for job in rest["items"]] == [waiting[0]["id"]]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    ("filters", "status", "code"),
    [
        ({"status": "sleeping"}, 422, "invalid_request"),
        ({"limit": 0}, 422, "invalid_request"),
        ({"limit": 101}, 422, "invalid_request"),
        ({"else": 1}, 422, "invalid_request"),
        ({"cursor": "nonsense"}, 400, "invalid_cursor"),
    ],
)
async def test_a_bad_filter_is_refused(owner: Caller, filters: dict[str, Any], status: int, code: str) -> None:
    assert_problem(await owner.get("/v1/jobs", **filters), status, code)


async def test_a_time_that_is_past_means_at_once(owner: Caller) -> None:
    run_at = (datetime.now(UTC) - timedelta(days=1)).isoformat()

    assert (await until(owner, await accepted(owner, run_at=run_at), "succeeded"))["attempt"] == 1
