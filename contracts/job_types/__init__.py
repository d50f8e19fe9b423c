"""Every job type there is, by its name. The API, the worker and the documentation are built from this list alone."""

from collections.abc import Mapping

from contracts.job_types.diagnostics import ECHO
from contracts.job_types.images import THUMBNAILS
from contracts.jobs import JobType

JOB_TYPES: Mapping[str, JobType] = {job_type.name: job_type for job_type in (ECHO, THUMBNAILS)}
