"""Every function that runs jobs: what the worker registers."""

from collections.abc import Callable
from typing import Any

from activities.jobs.catalogue import CatalogueJobs
from activities.jobs.diagnostics import echo
from activities.jobs.registry import complete


def job_functions(catalogue: CatalogueJobs) -> tuple[Callable[..., Any], ...]:
    """Raises Misdeclared unless there is one for each job type."""
    functions: tuple[Callable[..., Any], ...] = (echo, catalogue.tell_merchandiser)
    complete(functions)
    return functions
