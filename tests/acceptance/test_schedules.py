"""Schedules and attention items, as operators meet them over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.client import POLL_S, WITHIN_S, Caller, assert_problem

SCHEDULES = "/v1/admin/schedules"
NAMES = ["cleanup-expired", "daily-digest", "reconcile-payments", "webhook-health", "stuck-orders"]
# Nothing else starts this one for hours, and it does nothing that another test would notice.
QUIET = "daily-digest"


async def read(operator: Caller, name: str) -> dict[str, Any]:
    answer = await operator.get(f"{SCHEDULES}/{name}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def until_finished(operator: Caller, name: str, run_ids: set[str], number: int = 1) -> list[dict[str, Any]]:
    """Wait for so many runs besides these to end; newest first."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            runs = (await read(operator, name))["last_runs"]
            fresh = [run for run in runs if run["run_id"] not in run_ids and run["outcome"] != "running"]
            if len(fresh) >= number:
                return fresh
            await asyncio.sleep(POLL_S)


def ids(schedule: dict[str, Any]) -> set[str]:
    return {run["run_id"] for run in schedule["last_runs"]}


@pytest.fixture
async def paused(operator: Caller) -> AsyncIterator[dict[str, Any]]:
    """A schedule that is paused, as that was answered."""
    answer = await operator.post(f"{SCHEDULES}/{QUIET}/pause", json={"note": "the mail server moves house"})
    assert answer.status_code == 200, answer.text
    yield answer.json()
    await operator.post(f"{SCHEDULES}/{QUIET}/resume")


async def test_all_are_listed_as_the_code_has_them(operator: Caller) -> None:
    answer = await operator.get(SCHEDULES)

    listed = {item["name"]: item for item in answer.json()["items"]}
    assert list(listed) == NAMES
    assert all(item["drift"] == [] and not item["paused"] for item in listed.values())
    assert all(len(item["next_runs"]) == 5 for item in listed.values())
    digest = listed["daily-digest"]
    assert digest["when"] == "every day at 08:00 in UTC"
    assert (digest["overlap"], digest["catch_up_s"], digest["jitter_s"]) == ("buffer_all", 259_200, 0)
    assert all(at.endswith("T08:00:00Z") for at in digest["next_runs"])
    assert (await operator.get(f"{SCHEDULES}/daily-digest")).json()["name"] == "daily-digest"


@pytest.mark.parametrize("name", NAMES)
async def test_each_can_be_triggered_and_tells_what_came_of_it(operator: Caller, name: str) -> None:
    before = await read(operator, name)

    answer = await operator.post(f"{SCHEDULES}/{name}/trigger")

    assert answer.status_code == 202
    run = (await until_finished(operator, name, ids(before)))[-1]
    assert run["outcome"] == "succeeded", run
    assert run["summary"]
    assert run["workflow_id"].startswith(f"{name}-20")
    assert run["started_at"] <= run["finished_at"]


async def test_pausing_stops_it_and_triggering_runs_it_all_the_same(operator: Caller, paused: dict[str, Any]) -> None:
    assert (paused["paused"], paused["note"]) == (True, "the mail server moves house")

    await operator.post(f"{SCHEDULES}/{QUIET}/trigger")

    assert await until_finished(operator, QUIET, ids(paused))
    resumed = await operator.post(f"{SCHEDULES}/{QUIET}/resume", json={"note": "it has arrived"})
    assert (resumed.json()["paused"], resumed.json()["note"]) == (False, "it has arrived")
    again = await operator.post(f"{SCHEDULES}/{QUIET}/pause")
    assert again.json()["note"] == "paused by olga"


async def test_what_was_missed_is_backfilled_each_for_its_own_time(operator: Caller) -> None:
    before = await read(operator, QUIET)

    answer = await operator.post(
        f"{SCHEDULES}/{QUIET}/backfill", json={"from": "2026-02-01T08:00:00Z", "to": "2026-02-04T08:00:00Z"}
    )

    assert answer.status_code == 202, answer.text
    runs = await until_finished(operator, QUIET, ids(before), 3)
    # From is included, to is not.
    assert sorted(run["scheduled_for"] for run in runs) == [f"2026-02-0{day}T08:00:00Z" for day in (1, 2, 3)]
    assert {run["outcome"] for run in runs} == {"succeeded"}


NOW = "2026-02-01T00:00:00Z"


@pytest.mark.parametrize(
    ("name", "body", "field", "message"),
    [
        (QUIET, {"to": NOW}, "from", "Field required"),
        (QUIET, {"from": NOW, "to": "yesterday"}, "to", "must be an RFC 3339 time"),
        (QUIET, {"from": "0001-01-01T00:00:00Z", "to": "0001-01-01T00:00:00Z"}, "from", "must not be before 2000"),
        (QUIET, {"from": NOW, "to": NOW}, "to", "must be after from"),
        (QUIET, {"from": NOW, "to": "2026-03-05T00:00:00Z"}, "to", "must be at most 31 days after from"),
        (QUIET, {"from": NOW, "to": "2026-02-01T01:00:00Z"}, "from", "must be 1 to 500 runs"),
        ("stuck-orders", {"from": NOW, "to": "2026-02-03T00:00:00Z"}, "from", "must be 1 to 500 runs"),
        (QUIET, {"from": NOW, "to": "2026-02-03T00:00:00Z", "overlap": "never"}, "overlap", "'skip'"),
        (QUIET, {"from": NOW, "to": "2026-02-03T00:00:00Z", "more": 1}, "more", "Extra inputs"),
    ],
)
async def test_a_backfill_without_bounds_is_refused(
    operator: Caller, name: str, body: dict[str, Any], field: str, message: str
) -> None:
    problem = assert_problem(await operator.post(f"{SCHEDULES}/{name}/backfill", json=body), 422, "invalid_request")

    [error] = problem["errors"]
    assert error["field"] == field
    assert message in error["message"]


async def test_a_backfill_of_the_future_is_refused(operator: Caller) -> None:
    now = datetime.now(UTC)
    body = {"from": now.isoformat(), "to": (now + timedelta(days=2)).isoformat()}

    problem = assert_problem(await operator.post(f"{SCHEDULES}/{QUIET}/backfill", json=body), 422, "invalid_request")

    assert problem["errors"] == [{"field": "to", "message": "must not be in the future"}]


@pytest.mark.parametrize("command", ["pause", "resume", "trigger"])
async def test_an_unknown_schedule(operator: Caller, command: str) -> None:
    assert_problem(await operator.post(f"{SCHEDULES}/weekly-digest/{command}"), 404, "not_found")
    assert_problem(await operator.get(f"{SCHEDULES}/weekly-digest"), 404, "not_found")
    body = {"from": NOW, "to": "2026-02-03T00:00:00Z"}
    assert_problem(await operator.post(f"{SCHEDULES}/weekly-digest/backfill", json=body), 404, "not_found")


async def test_they_are_for_operators_alone(customer: Caller) -> None:
    assert_problem(await customer.get(SCHEDULES), 403, "forbidden")
    assert_problem(await customer.post(f"{SCHEDULES}/{QUIET}/trigger"), 403, "forbidden")
    assert_problem(await customer.get("/v1/admin/attention"), 403, "forbidden")


async def test_a_note_has_bounds(operator: Caller) -> None:
    answer = await operator.post(f"{SCHEDULES}/{QUIET}/pause", json={"note": "x" * 501})

    assert [error["field"] for error in assert_problem(answer, 422, "invalid_request")["errors"]] == ["note"]


async def test_attention_items_refuse_bad_filters(operator: Caller) -> None:
    unknown = assert_problem(await operator.get("/v1/admin/attention", kind="boredom"), 422, "invalid_request")
    assert [error["field"] for error in unknown["errors"]] == ["kind"]
    assert_problem(await operator.get("/v1/admin/attention", cursor="nonsense"), 400, "invalid_cursor")
    assert_problem(await operator.get("/v1/admin/attention", limit=101), 422, "invalid_request")
