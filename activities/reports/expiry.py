"""Deletes the reports whose time is over."""

from dataclasses import dataclass

from contracts.reports import report_folder
from database.reports import ReportRepository
from providers.object_store import ObjectStore

AT_ONCE = 100


@dataclass(frozen=True)
class DeletedReports:
    """How many reports were deleted, and how many objects of theirs."""

    reports: int = 0
    objects: int = 0


async def delete_expired_reports(reports: ReportRepository, store: ObjectStore) -> DeletedReports:
    """Delete all reports that have expired, a hundred after the other; of each first the objects and then the row.

    Raises ObjectStoreFailed and what Postgres raises; what is left then is found again by the next call.
    """
    deleted = DeletedReports()
    while expired := await reports.expired(AT_ONCE):
        for report_id in expired:
            objects = await store.delete_below(report_folder(report_id))
            await reports.delete(report_id)
            deleted = DeletedReports(deleted.reports + 1, deleted.objects + objects)
    return deleted
