"""Every function that runs jobs: what the worker registers."""

from collections.abc import Callable
from typing import Any

from activities.jobs.diagnostics import echo
from activities.jobs.images import ImageJobs
from activities.jobs.registry import complete
from activities.jobs.reports import ReportJobs


def job_functions(reports: ReportJobs, images: ImageJobs) -> tuple[Callable[..., Any], ...]:
    """Raises Misdeclared unless there is one for each job type."""
    functions: tuple[Callable[..., Any], ...] = (echo, reports.write_orders, images.thumbnails)
    complete(functions)
    return functions
