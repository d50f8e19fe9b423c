"""Reports over HTTP: asked for, written in the background, downloaded in whole or in part, and nobody else's."""

import asyncio
import hashlib
import json
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.acceptance.client import ADA, Caller, Door, assert_problem, new_key
from tests.reports import accepted, ask_for, download, read, rows_of, until, written

UNKNOWN = "/v1/reports/rpt_00000000000000000000000000"
FIELDS = {
    *("id", "type", "from", "to", "format", "customer_id", "status", "progress", "last_error", "next_retry_at"),
    *("rows", "size", "sha256", "created_at", "finished_at", "expires_at", "stale", "links"),
}
DAYS_KEPT = timedelta(days=7)
SCOPES = ("orders:write", "reports:write")
BODY = {"type": "orders", "from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z", "format": "csv"}


@pytest.fixture(scope="module")
async def buyer(door: Door) -> Caller:
    """A customer who has three orders, one of them rejected."""
    found = door.customer(*SCOPES)
    for method, status in (
        ("pm_card_visa", "completed"),
        ("pm_card_visa_chargeDeclined", "rejected"),
        ("pm_card_visa", "completed"),
    ):
        await found.until((await found.placed(payment_method=method))["id"], status)
    return found


@pytest.fixture(scope="module")
async def report(buyer: Caller) -> dict[str, Any]:
    """A finished report of the buyer's orders."""
    return await written(buyer)


async def orders_of(caller: Caller) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await caller.get("/v1/orders")).json()["items"]
    return items


async def test_a_report_is_accepted_and_written_and_says_what_is_in_it(buyer: Caller) -> None:
    answer = await ask_for(buyer)

    assert answer.status_code == 202
    asked_for = answer.json()
    assert answer.headers["location"] == f"/v1/reports/{asked_for['id']}" == asked_for["links"]["self"]
    assert set(asked_for) == FIELDS
    assert asked_for["status"] in ("queued", "running", "succeeded")
    done = await until(buyer, asked_for, "succeeded")
    assert (done["type"], done["format"], done["customer_id"]) == ("orders", "csv", buyer.subject)
    assert done["progress"] == {"done": 3, "total": 3, "note": "rows stored"}
    assert done["rows"] == 3
    assert done["created_at"] <= done["finished_at"]
    kept = datetime.fromisoformat(done["expires_at"]) - datetime.fromisoformat(done["finished_at"])
    assert kept == DAYS_KEPT


async def test_its_file_has_what_the_list_of_orders_has(buyer: Caller, report: dict[str, Any]) -> None:
    answer = await download(buyer, report)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == f'attachment; filename="{report["id"]}.csv"'
    assert answer.headers["content-length"] == str(report["size"]) == str(len(answer.content))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"] == f'"{report["sha256"]}"'
    assert hashlib.sha256(answer.content).hexdigest() == report["sha256"]
    assert [(row["id"], row["status"], row["created_at"]) for row in await rows_of(buyer, report)] == [
        (order["id"], order["status"], order["created_at"]) for order in await orders_of(buyer)
    ]


async def test_a_report_says_the_same_as_the_export(buyer: Caller, report: dict[str, Any]) -> None:
    assert (await download(buyer, report)).content == (await buyer.get("/v1/orders.csv")).content


async def test_a_report_can_be_lines_of_json(buyer: Caller) -> None:
    done = await written(buyer, format="jsonl")

    answer = await download(buyer, done)

    assert answer.headers["content-type"] == "application/jsonl"
    assert answer.headers["content-disposition"].endswith('.jsonl"')
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["id"] for row in found] == [order["id"] for order in await orders_of(buyer)]


async def test_a_report_is_of_the_orders_from_one_moment_until_before_another(buyer: Caller) -> None:
    newest, middle, oldest = await orders_of(buyer)

    some = await written(buyer, **{"from": oldest["created_at"], "to": newest["created_at"]})

    assert [row["id"] for row in await rows_of(buyer, some)] == [middle["id"], oldest["id"]]
    assert (some["from"], some["to"]) == (oldest["created_at"], newest["created_at"])


@pytest.mark.parametrize(("written_as", "size"), [("csv", None), ("jsonl", 0)])
async def test_a_report_of_nothing_is_a_file_too(door: Door, written_as: str, size: int | None) -> None:
    nobody = door.customer("reports:write")

    empty = await written(nobody, format=written_as)

    answer = await download(nobody, empty)
    assert (answer.status_code, empty["rows"]) == (200, 0)
    assert len(answer.content) == (empty["size"] if size is None else size)


async def test_what_a_spreadsheet_would_take_for_a_formula_is_text(door: Door) -> None:
    mallory = Caller(door.http, door.stack, f"=HYPERLINK(A1)-{uuid4().hex[:6]}", *SCOPES)
    order = await mallory.placed(ship_to={**ADA, "city": "@SUM(A1)"})
    await mallory.until(order["id"], "completed")

    (row,) = await rows_of(mallory, await written(mallory))

    assert (row["customer_id"], row["ship_to_city"]) == (f"'{mallory.subject}", "'@SUM(A1)")


async def test_the_same_key_and_body_give_the_same_report_and_another_body_is_refused(buyer: Caller) -> None:
    key, period = new_key(), {"from": BODY["from"], "to": BODY["to"]}
    first = await accepted(buyer, key=key, **period)
    await until(buyer, first, "succeeded")

    again = await ask_for(buyer, key=key, **period)
    # The same moments, otherwise written.
    same = await ask_for(buyer, key=key, **{"from": "2026-03-01T01:00:00+01:00", "to": BODY["to"]})
    other = await ask_for(buyer, key=key, **period, format="jsonl")

    for answer in (again, same):
        assert answer.status_code == 200
        assert answer.headers["idempotent-replayed"] == "true"
        assert (answer.json()["id"], answer.json()["status"]) == (first["id"], "succeeded")
    assert_problem(other, 422, "idempotency_key_reused")


async def test_fifty_requests_with_one_key_make_one_report(door: Door) -> None:
    owner, key = door.customer("reports:write", "jobs:write"), new_key()

    answers = await asyncio.gather(
        *(ask_for(owner, key=key, **{"from": BODY["from"], "to": BODY["to"]}) for _ in range(50))
    )

    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len((await owner.get("/v1/reports")).json()["items"]) == 1
    assert len((await owner.get("/v1/jobs")).json()["items"]) == 1


async def test_a_key_is_not_that_of_a_job_and_without_one_each_request_makes_a_report(door: Door) -> None:
    owner, key = door.customer("reports:write", "jobs:write"), new_key()
    job = {"type": "diagnostics.echo", "arguments": {"message": "hello"}}
    assert (await owner.post("/v1/jobs", {"Idempotency-Key": key}, json=job)).status_code == 202

    await accepted(owner, key=key)

    unnamed = [await owner.post("/v1/reports", json=BODY) for _ in range(2)]
    assert [answer.status_code for answer in unnamed] == [202, 202]
    assert len({answer.json()["id"] for answer in unnamed}) == 2
    assert_problem(await ask_for(owner, key="a b"), 400, "idempotency_key_invalid")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": "customers"}, "type"),
        ({"type": None}, "type"),
        ({"format": "xlsx"}, "format"),
        ({"format": None}, "format"),
        ({"from": None}, "from"),
        ({"to": None}, "to"),
        ({"from": "2026-03-01T00:00:00"}, "from"),
        ({"to": "2026-04-01"}, "to"),
        ({"to": "2026-02-30T00:00:00Z"}, "to"),
        ({"from": 1_772_323_200}, "from"),
        ({"from": "0001-01-01T00:00:00Z"}, "from"),
        ({"to": "9999-12-31T23:59:59.999999Z"}, "to"),
        ({"to": BODY["from"]}, "to"),
        ({"to": "2026-02-01T00:00:00Z"}, "to"),
        ({"status": "completed"}, "status"),
        ({"customer_id": "somebody"}, "customer_id"),
        ({"accepted_from": BODY["from"]}, "accepted_from"),
    ],
)
async def test_what_is_wrong_is_refused_at_the_door_by_its_field(
    door: Door, changes: dict[str, Any], field: str
) -> None:
    owner = door.customer("reports:write")

    problem = assert_problem(await ask_for(owner, **{**BODY, **changes}), 422, "invalid_request")

    assert [error["field"] for error in problem["errors"]] == [field]
    assert (await owner.get("/v1/reports")).json()["items"] == []


async def test_what_is_no_json_is_refused(buyer: Caller) -> None:
    headers = {"Idempotency-Key": new_key(), "Content-Type": "application/json"}

    assert_problem(await buyer.post("/v1/reports", headers, content="{"), 400, "invalid_json")
    assert_problem(await buyer.post("/v1/reports", headers, content="[]"), 422, "invalid_request")
    assert_problem(
        await buyer.post("/v1/reports", {**headers, "Content-Type": "text/plain"}, content="{}"),
        415,
        "unsupported_media_type",
    )


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=10-", 10, None),
        ("bytes=-20", -20, None),
        ("bytes=5-5", 5, 6),
        ("bytes=10-999999999", 10, None),
        ("bytes=-999999999", 0, None),
        ("Bytes = 0-9", 0, 10),
    ],
)
async def test_a_range_is_answered_with_these_bytes(
    buyer: Caller, report: dict[str, Any], asked: str, start: int, end: int | None
) -> None:
    whole = (await download(buyer, report)).content

    answer = await download(buyer, report, Range=asked)

    assert answer.status_code == 206
    assert answer.content == whole[start:end]
    first, size = start % len(whole), len(whole)
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.content) - 1}/{size}"
    assert answer.headers["etag"] == f'"{report["sha256"]}"'


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-6", "bytes=9-2", "bytes=-", "bytes=a-b", "rows=0-9", "bytes=1", f"bytes={'9' * 5000}-"]
)
async def test_what_is_not_one_range_of_bytes_is_answered_with_everything(
    buyer: Caller, report: dict[str, Any], asked: str
) -> None:
    answer = await download(buyer, report, Range=asked)

    assert (answer.status_code, len(answer.content)) == (200, report["size"])


@pytest.mark.parametrize("asked", ["bytes={size}-", "bytes=999999999-", "bytes=-0"])
async def test_a_range_behind_the_end_cannot_be_satisfied(buyer: Caller, report: dict[str, Any], asked: str) -> None:
    answer = await download(buyer, report, Range=asked.format(size=report["size"]))

    assert_problem(answer, 416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{report['size']}"


async def test_a_download_goes_on_only_with_what_it_began_with(buyer: Caller, report: dict[str, Any]) -> None:
    etag, asked = f'"{report["sha256"]}"', {"Range": "bytes=10-"}

    same = await download(buyer, report, **asked, **{"If-Range": etag})
    for other in ('"another"', f"W/{etag}", "Sun, 01 Mar 2026 00:00:00 GMT"):
        answer = await download(buyer, report, **asked, **{"If-Range": other})
        assert (answer.status_code, len(answer.content)) == (200, report["size"])

    assert (same.status_code, len(same.content)) == (206, report["size"] - 10)


async def test_who_has_the_file_already_is_told_so(buyer: Caller, report: dict[str, Any]) -> None:
    etag = f'"{report["sha256"]}"'

    for known in (etag, f"W/{etag}", f'"another", {etag}', "*"):
        answer = await download(buyer, report, **{"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
    for other in ('"another"', report["sha256"], ""):
        assert (await download(buyer, report, **{"If-None-Match": other})).status_code == 200


async def test_who_wants_another_file_gets_nothing_of_this_one(buyer: Caller, report: dict[str, Any]) -> None:
    etag, asked = f'"{report["sha256"]}"', {"Range": "bytes=0-9"}

    for wanted in (etag, f'"another", {etag}', "*"):
        assert (await download(buyer, report, **asked, **{"If-Match": wanted})).status_code == 206
    for other in ('"another"', f"W/{etag}", report["sha256"]):
        answer = await download(buyer, report, **asked, **{"If-Match": other, "If-None-Match": etag})
        assert_problem(answer, 412, "precondition_failed")


async def test_what_a_download_would_be_can_be_asked_first(buyer: Caller, report: dict[str, Any], door: Door) -> None:
    path, got = report["links"]["download"], (await download(buyer, report)).headers

    async def head(caller: Caller, **headers: str) -> httpx.Response:
        return await door.http.head(path, headers={**caller.headers, **headers})

    whole = await head(buyer, Range="bytes=0-9")
    assert (whole.status_code, whole.content) == (200, b"")
    for name in ("content-length", "content-type", "content-disposition", "accept-ranges", "etag"):
        assert whole.headers[name] == got[name]
    assert (await head(buyer, **{"If-None-Match": got["etag"]})).status_code == 304
    assert (await head(buyer, **{"If-Match": '"another"'})).status_code == 412
    assert (await head(door.customer(*SCOPES))).status_code == 404


async def test_anothers_report_does_not_exist_and_an_operator_sees_every_one(
    door: Door, buyer: Caller, report: dict[str, Any], operator: Caller
) -> None:
    other = door.customer(*SCOPES)

    for path in (report["links"]["self"], report["links"]["download"]):
        assert_problem(await other.get(path), 404, "not_found")
    assert (await other.get("/v1/reports")).json()["items"] == []
    assert (await read(operator, report))["id"] == report["id"]
    assert (await download(operator, report)).content == (await download(buyer, report)).content
    assert report["id"] in [item["id"] for item in (await operator.get("/v1/reports")).json()["items"]]


async def test_a_customer_reports_their_own_orders_and_an_operator_everybodys(
    door: Door, buyer: Caller, report: dict[str, Any]
) -> None:
    manager = Caller(door.http, door.stack, f"manager-{uuid4().hex[:6]}", "operator", "reports:write")
    customer = door.customer(*SCOPES)
    order = await customer.placed()
    await customer.until(order["id"], "completed")
    mine = {order["id"] for order in await orders_of(buyer)}

    alls = await written(manager, **{"from": min(order["created_at"] for order in await orders_of(buyer))})

    assert alls["customer_id"] is None
    assert {row["id"] for row in await rows_of(manager, alls)} >= mine | {order["id"]}
    assert {row["id"] for row in await rows_of(buyer, report)} == mine
    assert [row["id"] for row in await rows_of(customer, await written(customer))] == [order["id"]]


async def test_a_report_of_everybodys_orders_is_lost_to_who_is_no_operator_any_more(door: Door) -> None:
    name, key = f"manager-{uuid4().hex[:6]}", new_key()
    manager = Caller(door.http, door.stack, name, "operator", "reports:write")
    dismissed = Caller(door.http, door.stack, name, "reports:write")
    period = {"from": BODY["from"], "to": BODY["to"]}
    alls = await accepted(manager, key=key, **period)
    await until(manager, alls, "succeeded")

    for path in (alls["links"]["self"], alls["links"]["download"]):
        assert_problem(await dismissed.get(path), 404, "not_found")
    assert (await dismissed.get("/v1/reports")).json()["items"] == []
    assert_problem(await ask_for(dismissed, key=key, **period), 422, "idempotency_key_reused")


async def test_what_is_no_report_is_not_found(buyer: Caller) -> None:
    for path in (UNKNOWN, "/v1/reports/nonsense", "/v1/reports/..%2f..%2fsecrets"):
        assert_problem(await buyer.get(path), 404, "not_found")
        assert_problem(await buyer.get(f"{path}/download"), 404, "not_found")


@pytest.mark.parametrize("scope", ["orders:write", "jobs:write", "webhooks:write"])
async def test_reports_are_for_those_who_may(door: Door, scope: str) -> None:
    caller = door.customer(scope)

    assert_problem(await ask_for(caller), 403, "forbidden")
    for path in ("/v1/reports", UNKNOWN, f"{UNKNOWN}/download"):
        assert_problem(await caller.get(path), 403, "forbidden")
        assert_problem(await door.http.get(path), 401, "unauthenticated")


async def test_an_operator_alone_may_not_ask_for_reports(operator: Caller) -> None:
    assert_problem(await ask_for(operator), 403, "forbidden")


async def test_reports_are_listed_in_pages_newest_first(door: Door) -> None:
    owner = door.customer("reports:write")
    made = [(await written(owner))["id"] for _ in range(3)]

    first = (await owner.get("/v1/reports", limit=2)).json()
    rest = (await owner.get("/v1/reports", limit=2, cursor=first["next_cursor"])).json()

    assert [report["id"] for report in first["items"]] == made[:0:-1]
    assert [report["id"] for report in rest["items"]] == made[:1]
    assert rest["next_cursor"] is None
    assert set(rest["items"][0]) == FIELDS - {"next_retry_at", "stale"}
    assert rest["items"][0]["status"] == "succeeded"


@pytest.mark.parametrize(
    ("filters", "status", "code"),
    [
        ({"limit": 0}, 422, "invalid_request"),
        ({"limit": 101}, 422, "invalid_request"),
        ({"status": "succeeded"}, 422, "invalid_request"),
        ({"cursor": "nonsense"}, 400, "invalid_cursor"),
    ],
)
async def test_a_bad_page_is_refused(buyer: Caller, filters: dict[str, Any], status: int, code: str) -> None:
    assert_problem(await buyer.get("/v1/reports", **filters), status, code)


async def test_the_job_of_a_report_is_its_owners_and_cannot_be_asked_for_otherwise(door: Door) -> None:
    owner = door.customer("reports:write", "jobs:write")
    done = await written(owner)

    job = (await owner.get(done["links"]["job"])).json()
    by_hand = {"type": "reports.orders", "arguments": {"report_id": done["id"]}}
    refused = await owner.post("/v1/jobs", {"Idempotency-Key": new_key()}, json=by_hand)

    assert (job["type"], job["arguments"]) == ("reports.orders", {"report_id": done["id"]})
    problem = assert_problem(refused, 422, "invalid_request")
    assert problem["errors"] == [{"field": "type", "message": "must be one of diagnostics.echo, images.thumbnails"}]
    assert "reports.orders" not in [found["name"] for found in (await owner.get("/v1/job-types")).json()["items"]]
