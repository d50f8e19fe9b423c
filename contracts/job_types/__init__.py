"""Every job type there is, by its name. The API, the worker and the documentation are built from this list alone."""

from collections.abc import Mapping

from contracts.job_types.catalogue import TELL_MERCHANDISER
from contracts.job_types.diagnostics import ECHO
from contracts.job_types.images import THUMBNAILS
from contracts.job_types.reports import ORDERS_REPORT
from contracts.jobs import JobType

JOB_TYPES: Mapping[str, JobType] = {
    job_type.name: job_type for job_type in (ECHO, ORDERS_REPORT, TELL_MERCHANDISER, THUMBNAILS)
}
# Those that `POST /v1/jobs` takes.
OFFERED: Mapping[str, JobType] = {name: job_type for name, job_type in JOB_TYPES.items() if job_type.offered}
