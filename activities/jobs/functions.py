"""Every function that runs jobs: what the worker registers."""

from collections.abc import Callable
from typing import Any

from activities.jobs.catalogue import CatalogueJobs
from activities.jobs.diagnostics import echo
from activities.jobs.images import ImageJobs
from activities.jobs.registry import complete
from activities.jobs.reports import ReportJobs


def job_functions(reports: ReportJobs, catalogue: CatalogueJobs, images: ImageJobs) -> tuple[Callable[..., Any], ...]:
    """Raises Misdeclared unless there is one for each job type."""
    functions: tuple[Callable[..., Any], ...] = (
        echo,
        reports.write_orders,
        catalogue.tell_merchandiser,
        images.thumbnails,
    )
    complete(functions)
    return functions
