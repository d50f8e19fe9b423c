"""What failed for good, as operators find it, retry it and discard it; jobs stand for all kinds here."""

import asyncio
from typing import Any

import pytest

from tests.acceptance.client import Caller, Door, assert_problem
from tests.jobs import accepted, echo, listed, read, until
from tests.letters import PATH, audited, dead, discard, letter, poison, retry

UNKNOWN = "job_00000000000000000000000000"
ECHO_ATTEMPTS = 5


@pytest.fixture
def owner(door: Door) -> Caller:
    return door.customer("jobs:write")


async def test_a_job_that_failed_for_good_is_a_dead_letter(owner: Caller, operator: Caller) -> None:
    job = await poison(owner)

    found = await letter(operator, job["id"], subject=owner.subject)

    links = {verb: f"{PATH}/{job['id']}/{verb}" for verb in ("retry", "discard")}
    assert found == {
        "id": job["id"],
        "kind": "job",
        "reason": "told_to_fail",
        "message": "attempt 5 fails, as told",
        "since": job["finished_at"],
        "attempts": ECHO_ATTEMPTS,
        "subject": owner.subject,
        "links": {"about": job["links"]["self"], **links},
    }


async def test_what_succeeded_lives_or_was_cancelled_is_none(owner: Caller, operator: Caller) -> None:
    await until(owner, await echo(owner), "succeeded")
    waiting = await accepted(owner, delay_s=3_600)
    await owner.post((await accepted(owner, delay_s=3_600))["links"]["cancel"])

    assert (await dead(operator, subject=owner.subject))["items"] == []
    await owner.post(waiting["links"]["cancel"])


async def test_dead_letters_are_filtered_paged_and_counted(owner: Caller, operator: Caller) -> None:
    jobs = await asyncio.gather(*(poison(owner) for _ in range(3)))
    ids = [job["id"] for job in sorted(jobs, key=lambda job: (job["finished_at"], job["id"]), reverse=True)]
    mine: dict[str, Any] = {"subject": owner.subject}

    first = await dead(operator, limit=2, **mine)
    rest = await dead(operator, limit=2, cursor=first["next_cursor"], **mine)

    assert [item["id"] for item in (*first["items"], *rest["items"])] == ids
    assert rest["next_cursor"] is None
    oldest = min(job["finished_at"] for job in jobs)
    for page in (first, rest):
        assert page["total"] == 3
        assert page["counts"] == [{"kind": "job", "reason": "told_to_fail", "count": 3, "oldest": oldest}]
    assert (await dead(operator, kind="job", reason="told_to_fail", older_than_s=0, **mine))["total"] == 3
    for nothing in ({"kind": "mail"}, {"reason": "timed_out"}, {"older_than_s": 3_600}):
        assert (await dead(operator, **nothing, **mine))["items"] == []


@pytest.mark.parametrize(
    ("filters", "status", "code"),
    [
        ({"kind": "letter"}, 422, "invalid_request"),
        ({"reason": ""}, 422, "invalid_request"),
        ({"reason": "\x00"}, 422, "invalid_request"),
        ({"older_than_s": -1}, 422, "invalid_request"),
        ({"older_than_s": "nan"}, 422, "invalid_request"),
        ({"limit": 0}, 422, "invalid_request"),
        ({"else": 1}, 422, "invalid_request"),
        ({"cursor": "nonsense"}, 400, "invalid_cursor"),
    ],
)
async def test_a_bad_filter_is_refused(operator: Caller, filters: dict[str, Any], status: int, code: str) -> None:
    assert_problem(await operator.get(PATH, **filters), status, code)


async def test_a_retried_job_begins_anew_under_its_id_and_leaves_the_list(owner: Caller, operator: Caller) -> None:
    job = await poison(owner, fail_times=ECHO_ATTEMPTS + 1)

    answer = await retry(operator, job["id"], note="the cause is gone")

    assert answer.status_code == 202, answer.text
    assert answer.json() == {"id": job["id"], "kind": "job", "action": "retried", "about": job["links"]["self"]}
    assert (await dead(operator, subject=owner.subject))["items"] == []
    # Its sixth attempt fails as told, and the seventh does not.
    done = await until(owner, job, "succeeded")
    assert done["attempt"] == done["result"]["attempt"] == ECHO_ATTEMPTS + 2
    assert done["finished_at"] > job["finished_at"]
    assert [one["id"] for one in await listed(owner)] == [job["id"]]
    [entry] = await audited(operator, subject=job["id"])
    assert entry["id"].startswith("aud_")
    assert entry["at"]
    assert entry["request_id"] == answer.headers["x-request-id"]
    assert {name: entry[name] for name in ("actor", "action", "subject", "note", "before", "after")} == {
        "actor": "olga",
        "action": "job.retry",
        "subject": job["id"],
        "note": "the cause is gone",
        "before": {"status": "failed", "attempt": ECHO_ATTEMPTS, "reason": "told_to_fail"},
        "after": {"status": "queued"},
    }


async def test_a_job_that_fails_again_is_a_dead_letter_again_and_can_be_retried_again(
    owner: Caller, operator: Caller
) -> None:
    job = await poison(owner, fail_times=99)

    for attempts in (10, 15):
        assert (await retry(operator, job["id"])).status_code == 202
        assert (await until(owner, job, "failed"))["attempt"] == attempts
        assert (await letter(operator, job["id"], subject=owner.subject))["attempts"] == attempts


async def test_a_retried_job_can_be_cancelled(owner: Caller, operator: Caller) -> None:
    job = await poison(owner)

    await retry(operator, job["id"])
    await owner.post(job["links"]["cancel"])

    assert (await until(owner, job, "cancelled"))["finished_at"] > job["finished_at"]


async def test_retries_at_once_count_once(owner: Caller, operator: Caller) -> None:
    job = await poison(owner)

    answers = await asyncio.gather(*(retry(operator, job["id"]) for _ in range(10)))

    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 9
    assert len(await audited(operator, subject=job["id"])) == 1


async def test_a_discarded_job_leaves_the_list_and_can_still_be_read(owner: Caller, operator: Caller) -> None:
    job = await poison(owner)

    answer = await discard(operator, job["id"], "an old test")

    assert answer.status_code == 200, answer.text
    assert answer.json()["action"] == "discarded"
    assert (await dead(operator, subject=owner.subject))["items"] == []
    assert await read(owner, job) == job
    [entry] = await audited(operator, subject=job["id"], action="job.discard", actor="olga")
    assert (entry["note"], entry["after"]) == ("an old test", {"listed": False})
    for again in (await retry(operator, job["id"]), await discard(operator, job["id"])):
        assert_problem(again, 409, "not_a_dead_letter")


async def test_what_did_not_fail_is_neither_retried_nor_discarded(owner: Caller, operator: Caller) -> None:
    done = await until(owner, await echo(owner), "succeeded")
    waiting = await accepted(owner, delay_s=3_600)

    for job in (done, waiting):
        for refused in (await retry(operator, job["id"]), await discard(operator, job["id"])):
            assert_problem(refused, 409, "not_a_dead_letter")
        assert await audited(operator, subject=job["id"]) == []
    assert (await read(owner, done))["finished_at"] == done["finished_at"]
    await owner.post(waiting["links"]["cancel"])


async def test_a_job_is_not_retried_while_another_lives_under_its_unique_key(owner: Caller, operator: Caller) -> None:
    job = await poison(owner, unique_key="nightly")
    other = await accepted(owner, unique_key="nightly", delay_s=3_600)

    assert_problem(await retry(operator, job["id"]), 409, "unique_key_taken")
    assert await audited(operator, subject=job["id"]) == []
    await owner.post(other["links"]["cancel"])
    assert (await retry(operator, job["id"])).status_code == 202


@pytest.mark.parametrize("unknown", [UNKNOWN, UNKNOWN.replace("job", "ord"), UNKNOWN.replace("job", "mail"), "x"])
async def test_what_there_is_not_is_not_found(operator: Caller, unknown: str) -> None:
    assert_problem(await retry(operator, unknown), 404, "not_found")
    assert_problem(await discard(operator, unknown), 404, "not_found")


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": " "}, {"reason": 1}, {"reason": "x", "else": 1}])
async def test_a_discard_needs_a_reason(owner: Caller, operator: Caller, body: dict[str, Any]) -> None:
    assert_problem(await operator.post(f"{PATH}/{UNKNOWN}/discard", json=body), 422, "invalid_request")


async def test_a_preview_counts_and_does_nothing(owner: Caller, operator: Caller) -> None:
    jobs = [await poison(owner) for _ in range(2)]
    filters = {"subject": owner.subject}

    for verb in ("retry", "discard"):
        answer = await operator.post(f"{PATH}/{verb}", json={"filter": filters, "preview": True})
        assert answer.status_code == 200, answer.text
        preview = answer.json()
        assert (preview["preview"], preview["matching"], preview["done"]) == (True, 2, 0)
        assert [(one["reason"], one["count"]) for one in preview["counts"]] == [("told_to_fail", 2)]

    assert (await dead(operator, **filters))["total"] == 2
    assert [await audited(operator, subject=job["id"]) for job in jobs] == [[], []]


async def test_what_a_filter_fits_is_retried_when_there_are_as_many_as_expected(
    owner: Caller, operator: Caller
) -> None:
    jobs = [await poison(owner, fail_times=ECHO_ATTEMPTS) for _ in range(3)]
    asked = {"filter": {"subject": owner.subject, "kind": "job"}, "note": "all of them"}

    refused = await operator.post(f"{PATH}/retry", json={**asked, "expected": 2})
    problem = assert_problem(refused, 409, "count_differs")
    assert "3" in problem["detail"]
    assert (await dead(operator, subject=owner.subject))["total"] == 3

    answer = await operator.post(f"{PATH}/retry", json={**asked, "expected": 3})
    assert answer.status_code == 200, answer.text
    assert {**answer.json(), "counts": ()} == {
        "preview": False, "matching": 3, "done": 3, "skipped": [], "counts": ()
    }  # fmt: skip
    for job in jobs:
        assert (await until(owner, job, "succeeded"))["attempt"] == ECHO_ATTEMPTS + 1
        [entry] = await audited(operator, subject=job["id"])
        assert (entry["note"], entry["request_id"]) == ("all of them", answer.headers["x-request-id"])


async def test_a_limit_takes_the_oldest(owner: Caller, operator: Caller) -> None:
    oldest, *others = [await poison(owner) for _ in range(3)]

    asked = {"filter": {"subject": owner.subject}, "limit": 1, "reason": "enough"}
    answer = await operator.post(f"{PATH}/discard", json=asked)

    assert (answer.json()["matching"], answer.json()["done"]) == (3, 1)
    assert {item["id"] for item in (await dead(operator, subject=owner.subject))["items"]} == {
        job["id"] for job in others
    }
    assert len(await audited(operator, subject=oldest["id"])) == 1


async def test_what_cannot_be_retried_is_skipped_and_named(owner: Caller, operator: Caller) -> None:
    job, taken = await poison(owner), await poison(owner, unique_key="taken")
    other = await accepted(owner, unique_key="taken", delay_s=3_600)

    asked = {"filter": {"subject": owner.subject}, "expected": 2}
    answer = (await operator.post(f"{PATH}/retry", json=asked)).json()

    assert (answer["done"], answer["skipped"]) == (1, [{"id": taken["id"], "code": "unique_key_taken"}])
    assert (await read(owner, job))["status"] != "failed"
    assert (await read(owner, taken))["status"] == "failed"
    await owner.post(other["links"]["cancel"])


async def test_what_is_skipped_takes_no_place_of_those_behind_it(owner: Caller, operator: Caller) -> None:
    taken, job = await poison(owner, unique_key="taken"), await poison(owner)
    other = await accepted(owner, unique_key="taken", delay_s=3_600)

    asked = {"filter": {"subject": owner.subject}, "limit": 1}
    answer = (await operator.post(f"{PATH}/retry", json=asked)).json()

    assert (answer["done"], answer["skipped"]) == (1, [{"id": taken["id"], "code": "unique_key_taken"}])
    assert (await read(owner, job))["status"] != "failed"
    await owner.post(other["links"]["cancel"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"filter": {}},
        {"limit": 1},
        {"filter": {}, "limit": 0},
        {"filter": {}, "limit": 201},
        {"filter": {}, "expected": -1},
        {"filter": {}, "expected": 1, "limit": 1},
        {"filter": {}, "preview": True, "limit": 1},
        {"filter": {}, "preview": "yes"},
        {"filter": {"kind": "letter"}, "preview": True},
        {"filter": {"older_than_s": -1}, "preview": True},
        {"filter": {"ids": []}, "preview": True},
    ],
)
@pytest.mark.parametrize("verb", ["retry", "discard"])
async def test_a_sweep_that_does_not_say_what_it_means_is_refused(
    operator: Caller, verb: str, body: dict[str, Any]
) -> None:
    assert_problem(await operator.post(f"{PATH}/{verb}", json=body), 422, "invalid_request")


async def test_a_sweep_that_discards_says_why(operator: Caller) -> None:
    body = {"filter": {"subject": "nobody"}, "limit": 1}

    assert_problem(await operator.post(f"{PATH}/discard", json=body), 422, "invalid_request")


async def test_operators_alone_see_dead_letters_and_the_audit_log(door: Door) -> None:
    owner = door.customer("jobs:write", "orders:write")

    for path in (PATH, "/v1/admin/audit"):
        assert_problem(await owner.get(path), 403, "forbidden")
    for path in (f"{PATH}/retry", f"{PATH}/discard", f"{PATH}/{UNKNOWN}/retry", f"{PATH}/{UNKNOWN}/discard"):
        assert_problem(await owner.post(path), 403, "forbidden")


async def test_the_audit_log_is_filtered_and_paged(owner: Caller, operator: Caller) -> None:
    job = await poison(owner, fail_times=99)
    await retry(operator, job["id"])
    await until(owner, job, "failed")
    await discard(operator, job["id"])

    first = (await operator.get("/v1/admin/audit", subject=job["id"], limit=1)).json()
    rest = (await operator.get("/v1/admin/audit", subject=job["id"], limit=1, cursor=first["next_cursor"])).json()

    assert [entry["action"] for entry in (*first["items"], *rest["items"])] == ["job.discard", "job.retry"]
    assert rest["next_cursor"] is None
    assert await audited(operator, subject=job["id"], actor="otto") == []
    assert_problem(await operator.get("/v1/admin/audit", limit=0), 422, "invalid_request")
    assert_problem(await operator.get("/v1/admin/audit", cursor="x"), 400, "invalid_cursor")


async def test_poison_jobs_do_not_block_their_queue(owner: Caller) -> None:
    """They go first, and between their attempts for seconds; what comes behind them is done long before they end."""
    arguments = {"message": "x", "fail_times": 99}
    poisonous = [await accepted(owner, arguments=arguments, queue="jobs-bulk", priority=1) for _ in range(30)]
    for job in poisonous:
        await until(owner, job, "retrying")

    good = await until(owner, await accepted(owner, queue="jobs-bulk", priority=5), "succeeded")

    ended = [await until(owner, job, "failed") for job in poisonous]
    assert good["attempt"] == 1
    assert good["finished_at"] < max(job["finished_at"] for job in ended)
    assert {job["attempt"] for job in ended} == {ECHO_ATTEMPTS}
