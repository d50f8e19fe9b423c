"""Deletes the reports whose time is over."""

from datetime import datetime
from typing import TYPE_CHECKING

from temporalio import activity

from contracts.reports import report_folder
from contracts.upkeep import Cleaned

# Workflows import this module for its signature; what it needs to run stays out of them.
if TYPE_CHECKING:
    from database.reports import ReportRepository
    from providers.object_store import ObjectStore

AT_ONCE = 100


class ReportExpiry:
    """Deletes, a hundred after the other; whatever a lost attempt did is done."""

    def __init__(self, reports: "ReportRepository", store: "ObjectStore") -> None:
        self.reports = reports
        self.store = store

    @activity.defn
    async def forget_reports(self, at: datetime) -> Cleaned:
        """Delete all reports that have expired by then; of each first the objects and then the row."""
        deleted = 0
        while expired := await self.reports.expired(at, AT_ONCE):
            for report_id in expired:
                await self.store.delete_below(report_folder(report_id))
                await self.reports.delete(report_id)
                deleted += 1
                activity.heartbeat(deleted)
        return Cleaned(what="reports", count=deleted)
