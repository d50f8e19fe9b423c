"""Reports: who asked for what, and the file that it became. A report and its job are accepted in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.reports import KEPT_FOR, OrdersReport, Report, ReportFile, ReportType, WrittenReport
from database.jobs import KeyReused, NewJob, enqueue
from database.paging import Position, newest_first
from database.tables import jobs, reports

# From then on it is gone to its owner, whether or not it was deleted yet.
_is_kept = or_(reports.c.expires_at.is_(None), reports.c.expires_at > func.now())


@dataclass(frozen=True)
class WantedReport:
    """A report as asked for; the hashes stand for its idempotency key and its request."""

    type: ReportType
    terms: OrdersReport
    subject: str
    key_hash: str
    request_hash: str


@dataclass(frozen=True)
class AcceptedReport:
    """What a request is answered with: a new report, or the one that its key had made."""

    report: Report
    is_new: bool


class ReportRepository:
    """Accepts, finds, lists, finishes and deletes reports."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def accept(self, wanted: WantedReport, job: NewJob) -> AcceptedReport:
        """Accept a report and the job that writes it, once per key, however many ask at once. Raises KeyReused."""
        async with self._engine.begin() as connection:
            while True:
                if inserted := await self._insert(connection, wanted, job):
                    if await enqueue(connection, job) is None:
                        raise ValueError(f"{job.id} is another job's id")
                    return AcceptedReport(inserted, is_new=True)
                # The one that stood in the way may be deleted by now, or its time is over.
                if earlier := await self._earlier(connection, wanted):
                    return AcceptedReport(earlier, is_new=False)

    async def _insert(self, connection: AsyncConnection, wanted: WantedReport, job: NewJob) -> Report | None:
        """None when this subject used the key before."""
        terms = wanted.terms
        row = await connection.execute(
            insert(reports)
            .values(
                id=terms.id,
                type=wanted.type,
                subject=wanted.subject,
                customer_id=terms.customer_id,
                accepted_from=terms.accepted_from,
                accepted_before=terms.accepted_before,
                format=terms.format,
                job_id=job.id,
                key_hash=wanted.key_hash,
                request_hash=wanted.request_hash,
            )
            .on_conflict_do_nothing(index_elements=["subject", "key_hash"])
            .returning(*reports.c)
        )
        found = row.one_or_none()
        return _report_of(found) if found is not None else None

    async def _earlier(self, connection: AsyncConnection, wanted: WantedReport) -> Report | None:
        with_the_key = reports.c.subject == wanted.subject, reports.c.key_hash == wanted.key_hash
        # No hash is an id. The report itself stays for clean-up, which deletes its file first.
        await connection.execute(update(reports).where(*with_the_key, ~_is_kept).values(key_hash=reports.c.id))
        found = (await connection.execute(select(reports).where(*with_the_key))).one_or_none()
        if found is not None and found.request_hash != wanted.request_hash:
            raise KeyReused
        return _report_of(found) if found is not None else None

    async def find(self, report_id: str) -> Report | None:
        """None when there is no such report, or none any more."""
        async with self._engine.connect() as connection:
            query = select(reports).where(reports.c.id == report_id, _is_kept)
            found = (await connection.execute(query)).one_or_none()
        return _report_of(found) if found is not None else None

    async def list(self, *, subject: str | None, after: Position | None, limit: int) -> Sequence[Report]:
        """At most `limit` reports, newest first: all, or those that a subject asked for on its own orders."""
        query = newest_first(select(reports), reports, after, limit).where(_is_kept)
        if subject is not None:
            query = query.where(reports.c.subject == subject, reports.c.customer_id == subject)
        async with self._engine.connect() as connection:
            return [_report_of(row) for row in await connection.execute(query)]

    async def begin(self, report_id: str, job_id: str) -> Report | None:
        """Note which job writes the report; None when it is gone."""
        change = update(reports).where(reports.c.id == report_id).values(job_id=job_id).returning(*reports.c)
        async with self._engine.begin() as connection:
            found = (await connection.execute(change)).one_or_none()
        return _report_of(found) if found is not None else None

    async def finish(self, written: WrittenReport) -> None:
        """Note the report's file, and until when it is kept; what is noted already stays."""
        change = (
            update(reports)
            .where(reports.c.id == written.report.id, reports.c.written_at.is_(None))
            .values(
                key=written.key,
                rows=written.rows,
                size=written.size,
                sha256=written.sha256,
                written_at=func.now(),
                expires_at=func.now() + KEPT_FOR,
            )
        )
        async with self._engine.begin() as connection:
            await connection.execute(change)

    async def expired(self, at: datetime, behind: str, limit: int) -> Sequence[str]:
        """At most `limit` reports whose time is over by then: since they were written, or their jobs were given up.

        By their ids, from the one behind `behind` on.
        """
        over_at = func.coalesce(reports.c.expires_at, jobs.c.finished_at + KEPT_FOR)
        query = (
            select(reports.c.id)
            .join_from(reports, jobs, jobs.c.id == reports.c.job_id)
            .where(over_at <= at, reports.c.id > behind)
            .order_by(reports.c.id)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return (await connection.scalars(query)).all()

    async def delete(self, report_id: str) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(delete(reports).where(reports.c.id == report_id))


def _report_of(row: Row[Any]) -> Report:
    found = row._mapping
    return Report.model_validate(
        {
            **found,
            "terms": OrdersReport.model_validate(dict(found)),
            "file": ReportFile.model_validate(dict(found)) if row.written_at is not None else None,
        }
    )
