"""Every function that runs jobs: what the worker registers."""

from collections.abc import Callable
from typing import Any

from activities.jobs.diagnostics import echo
from activities.jobs.registry import complete

JOB_FUNCTIONS: tuple[Callable[..., Any], ...] = (echo,)
complete(JOB_FUNCTIONS)
