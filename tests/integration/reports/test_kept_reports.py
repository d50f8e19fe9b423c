"""What our books, Temporal and the object store have of reports: before they are written, and when they expire."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import text
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from ulid import ULID

from activities.reports import expiry
from activities.reports.expiry import ReportExpiry
from api.app import create_app
from contracts.ids import new_job_id, new_report_id
from contracts.job_types.reports import ORDERS_REPORT
from contracts.order_rows import RowFormat
from contracts.reports import OrdersReport, ReportType
from database.cleanup import CleanupRepository
from database.jobs import NewJob
from database.reports import ReportRepository, WantedReport
from providers.object_store import ObjectStore, S3Access, open_object_store
from stack.environment import joined_to
from stack.home import Home
from tests.acceptance.client import Caller, Door, assert_problem, new_key
from tests.acceptance.conftest import door, http, operator
from tests.reports import Json, accepted, ask_for, download, read, until, written
from tests.shop import Shop
from tests.stack_session import RunningStack, clean_environment

__all__ = ["door", "http", "operator"]

NOBODYS = OrdersReport(
    id=new_report_id(),
    customer_id="nobody",
    accepted_from="2001-01-01T00:00:00Z",
    accepted_before="2001-02-01T00:00:00Z",
    format=RowFormat.CSV,
)


@pytest.fixture
def owner(door: Door) -> Caller:
    return door.customer("reports:write", "jobs:write")


@pytest.fixture
def reports(shop: Shop) -> ReportRepository:
    return ReportRepository(shop.engine)


@pytest.fixture
def files(stack: RunningStack) -> Path:
    """Where the stack keeps its objects."""
    return Home(stack.home).files


@pytest.fixture
def store(files: Path) -> ObjectStore:
    return open_object_store(files.as_uri(), S3Access())


async def query(shop: Shop, sql: str, **values: Any) -> Sequence[Any]:
    async with shop.engine.begin() as connection:
        result = await connection.execute(text(sql), values)
        return result.all() if result.returns_rows else ()


async def forget_expired(reports: ReportRepository, store: ObjectStore) -> int:
    """How many reports a clean-up of now has deleted."""
    cleaned = await ActivityEnvironment().run(ReportExpiry(reports, store).forget_reports, datetime.now(UTC))
    return cleaned.count


async def postponed(reports: ReportRepository, owner: Caller, job_id: str | None = None) -> Json:
    """A report whose job waits for an hour; the API takes none that do, but anything may hold a job up."""
    terms = NOBODYS.model_copy(update={"id": new_report_id(), "customer_id": owner.subject})
    wanted = WantedReport(
        type=ReportType.ORDERS, terms=terms, subject=owner.subject, key_hash=new_key(), request_hash="0" * 64
    )
    job = NewJob(
        id=job_id or new_job_id(),
        type=ORDERS_REPORT.name,
        subject=owner.subject,
        arguments=f'{{"report_id": "{terms.id}"}}',
        queue=ORDERS_REPORT.queue,
        delay_s=3_600,
    )
    assert (await reports.accept(wanted, job)).is_new
    return await read(owner, {"links": {"self": f"/v1/reports/{terms.id}"}})


async def test_a_report_that_is_not_written_has_no_file_to_download(reports: ReportRepository, owner: Caller) -> None:
    report = await postponed(reports, owner)
    assert (report["status"], report["expires_at"], report["sha256"]) == ("scheduled", None, None)

    early = assert_problem(await download(owner, report), 409, "report_not_ready")
    assert (await owner.post(f"{report['links']['job']}/cancel")).status_code == 200
    never = assert_problem(await download(owner, report), 409, "report_not_ready")

    assert (early["detail"], never["detail"]) == ("It is scheduled.", "It is cancelled.")
    cancelled = await read(owner, report)
    assert cancelled["status"] == "cancelled"
    assert cancelled["finished_at"] is not None
    assert [item["status"] for item in (await owner.get("/v1/reports")).json()["items"]] == ["cancelled"]


async def test_a_report_and_its_job_are_accepted_together_or_not_at_all(
    reports: ReportRepository, shop: Shop, owner: Caller
) -> None:
    report = await accepted(owner)
    job_id = report["links"]["job"].rpartition("/")[2]
    terms = NOBODYS.model_copy(update={"id": new_report_id()})
    wanted = WantedReport(
        type=ReportType.ORDERS, terms=terms, subject="nobody", key_hash=new_key(), request_hash="0" * 64
    )
    taken = NewJob(id=job_id, type=ORDERS_REPORT.name, subject="nobody", arguments="{}", queue=ORDERS_REPORT.queue)

    with pytest.raises(ValueError, match=job_id):
        await reports.accept(wanted, taken)

    assert await query(shop, "SELECT 1 FROM followthrough.reports WHERE id = :id", id=terms.id) == []
    assert await query(shop, "SELECT 1 FROM followthrough.jobs WHERE id = :id", id=job_id) != []


async def test_the_activity_of_a_report_has_its_id_alone(shop: Shop, owner: Caller) -> None:
    done = await written(owner)

    job_id = done["links"]["job"].rpartition("/")[2]

    assert await shop.client.get_activity_handle(job_id).result() == {"rows": 0}
    (row,) = await query(shop, "SELECT arguments, queue FROM followthrough.jobs WHERE id = :id", id=job_id)
    assert (row.arguments, row.queue) == (f'{{"report_id":"{done["id"]}"}}', "reports")


async def test_a_finished_report_is_one_file_and_its_manifest_in_the_store(
    shop: Shop, owner: Caller, files: Path
) -> None:
    done = await written(owner)

    (row,) = await query(shop, "SELECT key, sha256 FROM followthrough.reports WHERE id = :id", id=done["id"])
    folder = files / "reports" / done["id"]
    assert {path.name for path in folder.iterdir()} == {Path(row.key).name, "manifest.json"}
    assert (files / row.key).read_bytes() == (await download(owner, done)).content
    assert row.sha256 == done["sha256"]


async def test_from_its_time_on_a_report_is_gone_whether_or_not_it_was_deleted(
    reports: ReportRepository, store: ObjectStore, shop: Shop, owner: Caller, operator: Caller, files: Path
) -> None:
    expired, kept = await written(owner), await written(owner)
    await expire(shop, expired)

    for _ in range(2):
        for caller in (owner, operator):
            assert_problem(await caller.get(expired["links"]["self"]), 404, "not_found")
            assert_problem(await download(caller, expired), 404, "not_found")
        assert [item["id"] for item in (await owner.get("/v1/reports")).json()["items"]] == [kept["id"]]
        await forget_expired(reports, store)

    assert not (files / "reports" / expired["id"]).exists()
    assert await query(shop, "SELECT 1 FROM followthrough.reports WHERE id = :id", id=expired["id"]) == []
    assert (await download(owner, kept)).status_code == 200


async def test_all_that_expired_is_deleted_in_batches_and_counted(
    reports: ReportRepository,
    store: ObjectStore,
    shop: Shop,
    owner: Caller,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await forget_expired(reports, store)
    monkeypatch.setattr(expiry, "AT_ONCE", 2)
    made = [await written(owner) for _ in range(5)]
    for report in made[:4]:
        await expire(shop, report)
    # Its files are gone already, as after a call that was cut off.
    await store.delete_below(f"reports/{made[0]['id']}")

    assert await forget_expired(reports, store) == 4
    assert await forget_expired(reports, store) == 0

    assert [path.name for path in (files / "reports").iterdir() if path.name in {report["id"] for report in made}] == [
        made[4]["id"]
    ]


async def test_what_a_report_that_was_given_up_has_left_is_deleted_as_late(
    reports: ReportRepository, store: ObjectStore, shop: Shop, owner: Caller
) -> None:
    report = await postponed(reports, owner)
    await store.put(f"reports/{report['id']}/part-00001-0", b"rows")
    await owner.post(f"{report['links']['job']}/cancel")
    job_id = report["links"]["job"].rpartition("/")[2]
    age = "UPDATE followthrough.jobs SET finished_at = now() - make_interval(days => :days) WHERE id = :id"

    await query(shop, age, days=6, id=job_id)
    await forget_expired(reports, store)
    assert (await read(owner, report))["status"] == "cancelled"
    await query(shop, age, days=7, id=job_id)
    deleted = await forget_expired(reports, store)

    assert deleted == 1
    assert_problem(await owner.get(report["links"]["self"]), 404, "not_found")
    assert [found async for found in store.list(f"reports/{report['id']}")] == []


async def test_a_report_whose_files_cannot_be_deleted_stays_with_its_job_and_is_in_nobodys_way(
    reports: ReportRepository, store: ObjectStore, shop: Shop, owner: Caller, files: Path
) -> None:
    await forget_expired(reports, store)
    job_id = f"job_{ULID.from_datetime(datetime.now(UTC) - timedelta(days=60))}"
    stuck, behind = await postponed(reports, owner, job_id), await written(owner)
    await owner.post(f"{stuck['links']['job']}/cancel")
    await query(
        shop, "UPDATE followthrough.jobs SET finished_at = now() - interval '60 days' WHERE id = :id", id=job_id
    )
    await expire(shop, behind)
    folder = files / "reports" / stuck["id"]
    # No folder, and so nothing that can be deleted as one.
    folder.touch()

    with pytest.raises(ApplicationError, match="1 reports stay"):
        await forget_expired(reports, store)
    await CleanupRepository(shop.engine).forget_jobs(datetime.now(UTC) - timedelta(days=30))
    listed = await owner.get("/v1/reports")
    folder.unlink()

    assert not (files / "reports" / behind["id"]).exists()
    assert [(item["id"], item["status"]) for item in listed.json()["items"]] == [(stuck["id"], "cancelled")]
    assert await forget_expired(reports, store) == 1
    await CleanupRepository(shop.engine).forget_jobs(datetime.now(UTC) - timedelta(days=30))
    assert await query(shop, "SELECT 1 FROM followthrough.jobs WHERE id = :id", id=job_id) == []


@pytest.mark.parametrize("deleted", [False, True])
async def test_a_key_is_free_again_when_the_time_of_its_report_is_over(
    reports: ReportRepository, store: ObjectStore, shop: Shop, owner: Caller, files: Path, deleted: bool
) -> None:
    key, period = new_key(), {"from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z"}
    first = await until(owner, await accepted(owner, key=key, **period), "succeeded")
    await expire(shop, first)
    if deleted:
        await forget_expired(reports, store)

    again = await ask_for(owner, key=key, **period)

    assert again.status_code == 202
    assert again.json()["id"] != first["id"]
    assert (await ask_for(owner, key=key, **period)).json()["id"] == again.json()["id"]
    await forget_expired(reports, store)
    assert not (files / "reports" / first["id"]).exists()


async def test_a_file_that_is_gone_is_not_found_and_one_that_is_short_is_broken_off(
    owner: Caller, files: Path, shop: Shop
) -> None:
    done = await written(owner)
    (row,) = await query(shop, "SELECT key FROM followthrough.reports WHERE id = :id", id=done["id"])
    content = (files / row.key).read_bytes()

    (files / row.key).write_bytes(content[:-1])
    with pytest.raises(httpx.RemoteProtocolError):
        await download(owner, done)
    (files / row.key).unlink()

    assert_problem(await download(owner, done), 404, "not_found")


async def test_a_store_that_fails_is_a_503_to_try_again(owner: Caller, files: Path) -> None:
    done = await written(owner)
    folder = files / "reports" / done["id"]
    folder.rename(folder.with_suffix(".away"))
    folder.touch()

    failed = await download(owner, done)
    folder.unlink()
    folder.with_suffix(".away").rename(folder)

    assert_problem(failed, 503, "temporarily_unavailable")
    assert failed.headers["retry-after"]
    assert (await download(owner, done)).status_code == 200


async def expire(shop: Shop, report: Json) -> None:
    await query(shop, "UPDATE followthrough.reports SET expires_at = now() WHERE id = :id", id=report["id"])


@asynccontextmanager
async def elsewhere(stack: RunningStack, owner: Caller, **variables: str) -> AsyncIterator[Caller]:
    """The owner at an API in this process, which is the stack's but for these variables."""
    stacks = joined_to(Home(stack.home), clean_environment())
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {**stacks, "FOLLOWTHROUGH_API_METRICS_PORT": "0", **variables}.items():
            environment.setenv(name, value)
        app = create_app()
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as http,
        ):
            yield Caller(http, stack, owner.subject, "reports:write")


async def test_while_temporal_is_away_reports_are_accepted_shown_and_downloaded(
    stack: RunningStack, reports: ReportRepository, owner: Caller
) -> None:
    done, waiting = await written(owner), await postponed(reports, owner)

    async with elsewhere(stack, owner, TEMPORAL_ADDRESS="127.0.0.1:9") as there:
        new = await accepted(there)
        shown = await read(there, waiting)
        finished = await read(there, done)
        answer = await download(there, done)

    assert (shown["status"], shown["stale"]) == ("scheduled", True)
    assert (finished["status"], finished["stale"]) == ("succeeded", False)
    assert answer.status_code == 200
    assert not (await until(owner, new, "succeeded"))["stale"]


async def test_a_file_in_a_bucket_is_downloaded_there_by_a_url_that_is_good_for_a_minute(
    stack: RunningStack, owner: Caller
) -> None:
    done = await written(owner)
    bucket = {
        "FOLLOWTHROUGH_OBJECT_STORE_URL": "s3://bucket/prefix",
        "AWS_ENDPOINT_URL": "https://s3.example",
        "AWS_ACCESS_KEY_ID": "an-id",
        "AWS_SECRET_ACCESS_KEY": "a-secret",
    }

    async with elsewhere(stack, owner, **bucket) as there:
        answer = await download(there, done)
        known = await download(there, done, **{"If-None-Match": f'"{done["sha256"]}"'})

    assert (answer.status_code, answer.content) == (307, b"")
    url = urlsplit(answer.headers["location"])
    assert url.netloc == "s3.example"
    assert url.path.startswith(f"/bucket/prefix/reports/{done['id']}/orders-")
    assert parse_qs(url.query)["X-Amz-Expires"] == ["60"]
    assert "a-secret" not in answer.headers["location"]
    assert known.status_code == 304
