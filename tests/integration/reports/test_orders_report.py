"""Reports of orders: what Postgres has, in one file that says what is in it, however often its writer is killed."""

import asyncio
import csv
import hashlib
import io
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from activities.reports.orders import OrdersReportWriter, PartLost
from contracts.order_rows import RowFormat
from contracts.reports import OrdersReport, WrittenReport
from database.order_rows import OrderRows
from providers.object_store import S3Access, open_object_store
from tests.acceptance.client import WITHIN_S
from tests.many_orders import many_orders
from tests.shop import Shop
from tests.stack_session import RunningStack

COUNT, PART_ROWS = 2_345, 300
PARTS = 8
# Nobody else's orders are that old: one a second, up to here.
NEWEST = datetime(2001, 3, 1, 12, tzinfo=UTC)
OLDEST = NEWEST - timedelta(seconds=COUNT - 1)
ADA, BOB = "report-ada", "report-bob"
BOBS = 10

_numbers = itertools.count(1)


@pytest.fixture(scope="module", autouse=True)
async def sold(shop: Shop) -> AsyncIterator[None]:
    """Orders of two customers, Bob's in the middle of Ada's."""
    async with (
        many_orders(shop, ADA, COUNT, NEWEST),
        many_orders(shop, BOB, BOBS, NEWEST - timedelta(seconds=1_000)),
    ):
        yield


@dataclass
class Desk:
    """Writes reports into a folder, which it looks into as anybody could."""

    shop: Shop
    folder: Path
    seen: list[tuple[int, int]] = field(default_factory=list)

    def writer(self) -> OrdersReportWriter:
        store = open_object_store(self.folder.as_uri(), S3Access())
        return OrdersReportWriter(OrderRows(self.shop.engine), store, part_rows=PART_ROWS)

    async def write(self, report: OrdersReport) -> WrittenReport:
        return await self.writer().write(report, lambda done, total: self.seen.append((done, total)))

    async def write_and_stop_after(self, report: OrdersReport, rows: int) -> None:
        """An attempt that is cancelled once this many rows are stored."""
        stored = asyncio.Event()

        def look(done: int, _total: int) -> None:
            if done >= rows:
                stored.set()

        writing = asyncio.create_task(self.writer().write(report, look))
        async with asyncio.timeout(WITHIN_S):
            await stored.wait()
        writing.cancel()
        await asyncio.wait({writing})
        assert writing.cancelled()

    def files(self, report: OrdersReport) -> dict[str, Path]:
        """All but what a killed process was about to put: its name has a #, and the store does not list it."""
        found = sorted(self.folder.glob(f"reports/{report.id}/*"))
        return {path.name: path for path in found if "#" not in path.name}

    def parts(self, report: OrdersReport) -> dict[str, tuple[int, int]]:
        """Each stored part, with what changes when a file is replaced."""
        found = {name: path.stat() for name, path in self.files(report).items() if name.startswith("part-")}
        return {name: (file.st_ino, file.st_mtime_ns) for name, file in found.items()}

    def rows(self, written: WrittenReport) -> list[dict[str, Any]]:
        """The file's rows, after a look at whether it is what the manifest says, and nothing else is left."""
        content = (self.folder / written.key).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (written.size, written.sha256)
        assert self.files(written.report).keys() == {Path(written.key).name, "manifest.json"}
        manifest = self.files(written.report)["manifest.json"].read_text()
        assert WrittenReport.model_validate_json(manifest) == written
        if written.report.format is RowFormat.JSONL:
            return [json.loads(line) for line in content.decode().splitlines()]
        return list(csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True))


@pytest.fixture
def desk(shop: Shop, tmp_path: Path) -> Desk:
    return Desk(shop, tmp_path)


def report_of(customer_id: str | None = ADA, **changes: Any) -> OrdersReport:
    terms: Mapping[str, Any] = {
        "accepted_from": OLDEST,
        "accepted_before": NEWEST + timedelta(seconds=1),
        "format": RowFormat.CSV,
        **changes,
    }
    return OrdersReport(id=f"rep_{uuid4().hex[:6]}_{next(_numbers)}", customer_id=customer_id, **terms)


async def booked(shop: Shop, customer_id: str = ADA) -> list[dict[str, Any]]:
    """What Postgres says, newest first."""
    query = text("""
        SELECT id, status, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at, total,
            jsonb_array_length(lines) AS lines, failure ->> 'code' AS failure_code
        FROM followthrough.orders WHERE customer_id = :customer_id ORDER BY orders.created_at DESC
    """)
    async with shop.engine.connect() as connection:
        return [dict(row._mapping) for row in await connection.execute(query, {"customer_id": customer_id})]


async def test_a_report_has_the_rows_that_postgres_has(desk: Desk) -> None:
    written = await desk.write(report_of())

    rows = desk.rows(written)
    expected = await booked(desk.shop)
    assert len(expected) == COUNT == written.rows
    assert [
        (row["id"], row["status"], row["created_at"], row["total_amount"], row["failure_code"]) for row in rows
    ] == [
        (row["id"], row["status"], row["created_at"], str(row["total"]), row["failure_code"] or "") for row in expected
    ]
    assert [row["skus"] for row in rows] == [" ".join(["MANY-A", "MANY-B"][: row["lines"]]) for row in expected]


async def test_a_report_can_be_lines_of_json(desk: Desk) -> None:
    rows = desk.rows(await desk.write(report_of(format=RowFormat.JSONL)))

    assert [(row["id"], row["total_amount"], row["failure_code"], len(row["skus"])) for row in rows] == [
        (row["id"], row["total"], row["failure_code"], row["lines"]) for row in await booked(desk.shop)
    ]
    assert {row["ship_to_city"] for row in rows} == {"Tromsø"}


async def test_the_first_moment_is_in_it_and_the_last_is_not(desk: Desk) -> None:
    since, before = NEWEST - timedelta(seconds=20), NEWEST - timedelta(seconds=10)

    rows = desk.rows(await desk.write(report_of(accepted_from=since, accepted_before=before)))

    moments = [datetime.fromisoformat(row["created_at"]) for row in rows]
    assert moments == [before - timedelta(seconds=number) for number in range(1, 11)]


async def test_a_customers_report_has_their_own_orders_and_an_operators_has_all(desk: Desk) -> None:
    bobs = desk.rows(await desk.write(report_of(BOB)))
    alls = desk.rows(await desk.write(report_of(None)))

    assert [row["id"] for row in bobs] == [row["id"] for row in await booked(desk.shop, BOB)]
    both = await booked(desk.shop, ADA) + await booked(desk.shop, BOB)
    assert sorted(row["id"] for row in alls) == sorted(row["id"] for row in both)


@pytest.mark.parametrize(("written_as", "content"), [(RowFormat.CSV, b"id,status,"), (RowFormat.JSONL, b"")])
async def test_a_report_of_nothing_is_a_file_too(desk: Desk, written_as: RowFormat, content: bytes) -> None:
    written = await desk.write(report_of("report-nobody", format=written_as))

    assert desk.rows(written) == []
    assert (desk.folder / written.key).read_bytes().startswith(content)
    assert desk.seen == [(0, 0)]


async def test_progress_is_told_after_each_part(desk: Desk) -> None:
    await desk.write(report_of())

    assert desk.seen == [(min(number * PART_ROWS, COUNT), COUNT) for number in range(PARTS + 1)]


@pytest.mark.parametrize("parts", range(PARTS + 1))
async def test_an_attempt_goes_on_behind_the_last_part_of_the_one_before(desk: Desk, parts: int) -> None:
    report = report_of()
    await desk.write_and_stop_after(report, min(parts * PART_ROWS, COUNT))
    before = desk.parts(report)
    told: list[int] = []
    after: dict[str, tuple[int, int]] = {}

    def look(done: int, _total: int) -> None:
        told.append(done)
        if done == COUNT:
            after.update(desk.parts(report))

    written = await desk.writer().write(report, look)

    assert told[0] == min(parts * PART_ROWS, COUNT)
    # A part that was stored and not yet counted may be stored again.
    assert after.items() >= dict(list(before.items())[:parts]).items()
    assert [row["id"] for row in desk.rows(written)] == [row["id"] for row in await booked(desk.shop)]


async def test_an_attempt_goes_on_after_a_kill_9(desk: Desk, stack: RunningStack) -> None:
    report = report_of()
    told = []
    for _ in range(3):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.reports.attempt", desk.folder.as_uri()),
            *(str(PART_ROWS), report.model_dump_json()),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "DATABASE_URL": stack.database_url},
        )
        assert process.stdout is not None
        async with asyncio.timeout(WITHIN_S):
            told.append([int(await process.stdout.readline()) for _ in range(3)])
        process.kill()
        await process.wait()

    written = await desk.write(report)

    firsts = [first for first, *_ in told]
    # Each went on at least where the one before was seen to be.
    assert firsts[0] == 0
    assert all(first >= before[-1] for first, before in zip([*firsts[1:], desk.seen[0][0]], told, strict=True))
    assert [row["id"] for row in desk.rows(written)] == [row["id"] for row in await booked(desk.shop)]


async def test_attempts_at_once_come_to_one_report(desk: Desk) -> None:
    report = report_of()

    attempts = await asyncio.gather(*(desk.write(report) for _ in range(4)), return_exceptions=True)

    # One that lost its parts to another's tidying up tries again, as any failed attempt does.
    lost = [attempt for attempt in attempts if isinstance(attempt, BaseException)]
    assert all(isinstance(attempt, PartLost) for attempt in lost)
    written = await desk.write(report)
    assert all(attempt == written for attempt in attempts if isinstance(attempt, WrittenReport))
    assert [row["id"] for row in desk.rows(written)] == [row["id"] for row in await booked(desk.shop)]


@pytest.mark.parametrize("loss", ["gone", "changed"])
async def test_a_part_that_is_lost_is_noticed_and_written_again(desk: Desk, loss: str) -> None:
    report = report_of()
    await desk.write_and_stop_after(report, 4 * PART_ROWS)
    third = desk.files(report)[sorted(desk.parts(report))[2]]
    if loss == "gone":
        third.unlink()
    else:
        third.write_bytes(third.read_bytes().replace(b"completed", b"rejected", 1))

    with pytest.raises(PartLost):
        await desk.write(report)
    desk.seen.clear()
    written = await desk.write(report)

    assert desk.seen[0] == (2 * PART_ROWS, COUNT)
    assert [row["status"] for row in desk.rows(written)] == [row["status"] for row in await booked(desk.shop)]


async def test_a_finished_report_stays_as_it_is(desk: Desk) -> None:
    report = report_of(BOB)
    written = await desk.write(report)
    desk.seen.clear()
    async with desk.shop.engine.begin() as connection:
        change = text("UPDATE followthrough.orders SET status = 'cancelled' WHERE customer_id = :id")
        await connection.execute(change, {"id": BOB})

    assert await desk.write(report) == written
    assert desk.seen == []
    assert "cancelled" not in {row["status"] for row in desk.rows(written)}
