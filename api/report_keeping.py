"""Keeps reports for those who asked for them: accepting takes Postgres alone, and the job says how far it is."""

from dataclasses import dataclass
from hashlib import sha256

from structlog.contextvars import bind_contextvars

from api.auth import Principal
from api.bodies import hash_of
from api.cursors import next_cursor, position_of
from api.errors import IdempotencyKeyReused, NotFound, ReportNotReady
from api.idempotency import key_hash_of
from api.job_keeping import JobKeeper
from api.outages import asking_postgres
from api.report_bodies import ReportBody
from api.report_resource import ReportList, ReportResource, ReportSummaryResource
from contracts.ids import new_job_id, new_report_id
from contracts.job_types.reports import ORDERS_REPORT, WriteReport
from contracts.reports import KEPT_FOR, OrdersReport, Report, ReportFile
from database.jobs import JobRepository, KeyReused, NewJob
from database.paging import Position
from database.reports import ReportRepository, WantedReport

NOT_FOUND = f"There is no such report. One is kept for {KEPT_FOR.days} days."


@dataclass(frozen=True)
class AskedForReport:
    """What a request for a report leads to: a new one, or the one that its key had made."""

    report: ReportResource
    is_new: bool


class ReportKeeper:
    """Accepts and shows reports, and finds their files.

    Every method raises Unreachable, and those that take a report's id NotFound, also for somebody else's.
    """

    def __init__(self, reports: ReportRepository, jobs: JobRepository, keeper: JobKeeper) -> None:
        self._reports = reports
        self._jobs = jobs
        self._keeper = keeper

    async def accept(self, caller: Principal, key: str | None, body: ReportBody) -> AskedForReport:
        """Accept a report of the caller's orders, or of everybody's for an operator. Raises IdempotencyKeyReused."""
        terms = OrdersReport(
            id=new_report_id(),
            customer_id=None if caller.is_operator else caller.subject,
            accepted_from=body.accepted_from,
            accepted_before=body.accepted_before,
            format=body.format,
        )
        wanted = WantedReport(
            type=body.type,
            terms=terms,
            subject=caller.subject,
            key_hash=key_hash_of(key),
            # Whose orders they are is a part of what was asked for, though it stands in the token.
            request_hash=sha256(f"{terms.customer_id} {hash_of(body)}".encode()).hexdigest(),
        )
        job = NewJob(
            id=new_job_id(),
            type=ORDERS_REPORT.name,
            subject=caller.subject,
            arguments=WriteReport(report_id=terms.id).model_dump_json(),
            queue=ORDERS_REPORT.queue,
        )
        try:
            async with asking_postgres():
                accepted = await self._reports.accept(wanted, job)
        except KeyReused:
            raise IdempotencyKeyReused("Repeat the very same body, or send a new key with a new report.") from None
        return AskedForReport(await self._now(caller, accepted.report), accepted.is_new)

    async def get(self, caller: Principal, report_id: str) -> ReportResource:
        return await self._now(caller, await self._known(caller, report_id))

    async def list(self, caller: Principal, *, cursor: str | None, limit: int) -> ReportList:
        """A page of the caller's reports, or everybody's for an operator. Raises InvalidCursor."""
        after = position_of(cursor)
        async with asking_postgres():
            found = await self._reports.list(
                subject=None if caller.is_operator else caller.subject, after=after, limit=limit + 1
            )
            jobs = await self._jobs.summaries([report.job_id for report in found])
        return ReportList(
            items=tuple(ReportSummaryResource.of(report, jobs[report.job_id]) for report in found[:limit]),
            next_cursor=next_cursor(found, limit, lambda report: Position(report.created_at, report.id)),
        )

    async def file(self, caller: Principal, report_id: str) -> tuple[Report, ReportFile]:
        """A finished report and its file. Raises ReportNotReady."""
        report = await self._known(caller, report_id)
        if report.file is None:
            status = (await self._now(caller, report)).status
            raise ReportNotReady(f"It is {status}.")
        return report, report.file

    async def _known(self, caller: Principal, report_id: str) -> Report:
        bind_contextvars(report_id=report_id)
        async with asking_postgres():
            report = await self._reports.find(report_id)
        if report is None or not _may_see(caller, report):
            raise NotFound(NOT_FOUND)
        return report

    async def _now(self, caller: Principal, report: Report) -> ReportResource:
        job = await self._keeper.get(caller, report.job_id)
        if report.file is None and job.status.is_final:
            # The file came first, if there is one.
            async with asking_postgres():
                report = await self._reports.find(report.id) or report
        return ReportResource.now(report, job)


def _may_see(caller: Principal, report: Report) -> bool:
    """An operator sees every one. What somebody asked for as an operator is not theirs any more when they are none."""
    return caller.is_operator or report.subject == report.terms.customer_id == caller.subject
