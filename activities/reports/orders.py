"""Writes a report of orders into the object store, part by part, and goes on behind the last one after a crash."""

import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

from contracts.object_store import ObjectNotFound
from contracts.order_rows import RowFormat, as_csv, as_jsonl, csv_header
from contracts.reports import OrdersReport, ReportPart, ReportProgress, WrittenReport, report_folder
from database.order_rows import PAGE_ROWS, OrderRows, behind
from database.orders import OrderFilter
from database.paging import Position
from providers.object_store import ObjectStore

PART_ROWS = 2_000

# Called with the rows that are stored, and those there were in all when it began.
OnProgress = Callable[[int, int], None]

_RENDER = {RowFormat.CSV: as_csv, RowFormat.JSONL: as_jsonl}
_MICROSECOND = timedelta(microseconds=1)


class PartLost(Exception):
    """A part is gone, or not what was stored; it and those behind it are written again by the next attempt."""


class OrdersReportWriter:
    """Writes reports of orders. Any number of attempts at one, also at once, come to one and the same file."""

    def __init__(self, rows: OrderRows, store: ObjectStore, *, part_rows: int = PART_ROWS) -> None:
        self._rows = rows
        self._store = store
        self._part_rows = part_rows

    async def write(self, report: OrdersReport, on_progress: OnProgress) -> WrittenReport:
        """Write what is missing of the report, or return it when it is finished.

        Raises PartLost, ObjectStoreFailed and what Postgres raises; an attempt after that goes on behind the last part.
        """
        written = await self._written(report)
        if written is None:
            progress = await self._parts(report, on_progress)
            written = await self._finish(report, progress)
        await self._tidy(written)
        return written

    async def _parts(self, report: OrdersReport, on_progress: OnProgress) -> ReportProgress:
        progress = await self._progress(report)
        total = await self._rows.count(_wanted(report), customer_id=report.customer_id, after=_start(report))
        while True:
            on_progress(progress.rows, max(progress.rows, total))
            part = await self._next_part(report, progress)
            if part is None:
                return progress
            progress = ReportProgress(parts=(*progress.parts, part))
            await self._store.put(_key(report, "progress.json"), progress.model_dump_json().encode())

    async def _next_part(self, report: OrdersReport, progress: ReportProgress) -> ReportPart | None:
        """Store the part behind those that are; None when there is nothing more."""
        last = progress.parts[-1] if progress.parts else None
        after = Position(last.last_created_at, last.last_id) if last else _start(report)
        chunks: list[bytes] = []
        rows = 0
        while rows < self._part_rows:
            limit = min(PAGE_ROWS, self._part_rows - rows)
            page = await self._rows.page(_wanted(report), customer_id=report.customer_id, after=after, limit=limit)
            if not page:
                break
            chunks.append(_RENDER[report.format](page))
            rows += len(page)
            after = behind(page[-1])
        if not rows:
            return None
        data = b"".join(chunks)
        # Named for what is in it: an attempt that is thought dead and is not cannot replace what another one counts on.
        digest = hashlib.sha256(data).hexdigest()
        key = _key(report, f"part-{len(progress.parts) + 1:05}-{digest[:16]}")
        await self._store.put(key, data)
        return ReportPart(
            key=key,
            rows=rows,
            size=len(data),
            sha256=digest,
            last_created_at=after.created_at,
            last_id=after.id,
        )

    async def _finish(self, report: OrdersReport, progress: ReportProgress) -> WrittenReport:
        """Make one file of the parts, and then say that it is the report; the first attempt to do so decides."""
        whole = hashlib.sha256("".join(part.sha256 for part in progress.parts).encode()).hexdigest()[:16]
        key = _key(report, f"orders-{whole}.{report.format}")
        stored = await self._store.put_stream(key, self._content(report, progress))
        written = WrittenReport(report=report, key=key, rows=progress.rows, size=stored.size, sha256=stored.sha256)
        if await self._store.put_new(_manifest(report), written.model_dump_json(indent=2).encode()):
            return written
        decided = await self._written(report)
        assert decided is not None
        return decided

    async def _content(self, report: OrdersReport, progress: ReportProgress) -> AsyncIterator[bytes]:
        if report.format is RowFormat.CSV:
            yield csv_header()
        for number, part in enumerate(progress.parts):
            try:
                data = await self._store.get(part.key)
            except ObjectNotFound:
                data = b""
            if hashlib.sha256(data).hexdigest() != part.sha256:
                sound = ReportProgress(parts=progress.parts[:number])
                await self._store.put(_key(report, "progress.json"), sound.model_dump_json().encode())
                raise PartLost(part.key)
            yield data

    async def _tidy(self, written: WrittenReport) -> None:
        """Delete all but the report and its manifest."""
        async for found in self._store.list(report_folder(written.report.id)):
            if found.key not in (written.key, _manifest(written.report)):
                await self._store.delete(found.key)

    async def _written(self, report: OrdersReport) -> WrittenReport | None:
        try:
            return WrittenReport.model_validate_json(await self._store.get(_manifest(report)))
        except ObjectNotFound:
            return None

    async def _progress(self, report: OrdersReport) -> ReportProgress:
        try:
            return ReportProgress.model_validate_json(await self._store.get(_key(report, "progress.json")))
        except ObjectNotFound:
            return ReportProgress()


def _wanted(report: OrdersReport) -> OrderFilter:
    # A filter leaves its moment out, and a report has it. Postgres counts in microseconds.
    return OrderFilter(created_after=report.accepted_from - _MICROSECOND)


def _start(report: OrdersReport) -> Position:
    # No id is before the empty one: behind this is what was accepted before that moment.
    return Position(report.accepted_before, "")


def _key(report: OrdersReport, name: str) -> str:
    return f"{report_folder(report.id)}/{name}"


def _manifest(report: OrdersReport) -> str:
    return _key(report, "manifest.json")
