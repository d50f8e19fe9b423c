"""Jobs that write reports."""

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.jobs.progress import tell_progress
from activities.jobs.registry import job
from activities.reports.orders import OrdersReportWriter
from contracts.job_types.reports import ORDERS_REPORT, ReportWritten, WriteReport
from database.reports import ReportRepository


class ReportJobs:
    """Writes the reports that our books have."""

    def __init__(self, reports: ReportRepository, writer: OrdersReportWriter) -> None:
        self._reports = reports
        self._writer = writer

    @job(ORDERS_REPORT)
    async def write_orders(self, arguments: WriteReport) -> ReportWritten:
        """Write a report of orders, going on behind what earlier attempts have stored."""
        report = await self._reports.begin(arguments.report_id, activity.info().activity_id)
        if report is None:
            raise ApplicationError("there is no such report any more", type="unknown_report", non_retryable=True)
        written = await self._writer.write(report.terms, _tell)
        await self._reports.finish(written)
        return ReportWritten(rows=written.rows)


def _tell(done: int, total: int) -> None:
    tell_progress(done, total, "rows stored")
