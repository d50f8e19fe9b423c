"""Deletes the reports whose time is over."""

from datetime import datetime
from typing import TYPE_CHECKING

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from contracts.object_store import ObjectStoreFailed
from contracts.reports import report_folder
from contracts.upkeep import Cleaned

# Workflows import this module for its signature; what it needs to run stays out of them.
if TYPE_CHECKING:
    from database.reports import ReportRepository
    from providers.object_store import ObjectStore

log = structlog.get_logger()

AT_ONCE = 100


class ReportExpiry:
    """Deletes, a hundred after the other; whatever a lost attempt did is done."""

    def __init__(self, reports: "ReportRepository", store: "ObjectStore") -> None:
        self.reports = reports
        self.store = store

    @activity.defn
    async def forget_reports(self, at: datetime) -> Cleaned:
        """Delete all reports that have expired by then; of each first the objects and then the row.

        One that the store keeps is in nobody's way. Raises ApplicationError reports_kept when there was any.
        """
        deleted, kept, last = 0, 0, ""
        while expired := await self.reports.expired(at, last, AT_ONCE):
            for last in expired:
                try:
                    await self.store.delete_below(report_folder(last))
                except ObjectStoreFailed as error:
                    log.warning("a report's files cannot be deleted", report_id=last, reason=str(error))
                    kept += 1
                else:
                    await self.reports.delete(last)
                    deleted += 1
                activity.heartbeat(deleted)
        if kept:
            raise ApplicationError(f"{kept} reports stay, since their files cannot be deleted", type="reports_kept")
        return Cleaned(what="reports", count=deleted)
