"""/console/jobs and what belongs to them: batches and reports."""

import json
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.auth import Scope
from api.console_deeds import CANCEL_JOB, JOB_DEEDS, Question
from api.console_page import page
from api.dependencies import Acting, Batches, BatchIdInPath, Caller, JobIdInPath, Jobs, Letters, ReportIdInPath, Reports
from api.page_routing import Form, PageRoute, SignedIn
from api.routing import requires_session
from api.sessions import CONSOLE
from contracts.audit import Act
from contracts.ids import BATCH_ID
from contracts.jobs import JobStatus

SHOWN = 25
RETRYABLE = (JobStatus.FAILED, JobStatus.TIMED_OUT)

router = APIRouter(prefix=CONSOLE, route_class=PageRoute, include_in_schema=False)


@router.get("/jobs")
@requires_session(Scope.OPERATOR)
async def list_jobs(
    session: SignedIn,
    caller: Caller,
    jobs: Jobs,
    status: JobStatus | None = None,
    batch: Annotated[str | None, Query(pattern=BATCH_ID)] = None,
    cursor: Annotated[str | None, Query(max_length=512)] = None,
) -> Response:
    """Everybody's jobs, newest first."""
    found = await jobs.list(caller, type=None, status=status, batch=batch, cursor=cursor, limit=SHOWN)
    return page(
        "jobs.html", session, found=found, chosen=status, batch=batch, statuses=JobStatus, is_first=cursor is None
    )


@router.get("/jobs/{job_id}")
@requires_session(Scope.OPERATOR)
async def show_job(session: SignedIn, job_id: JobIdInPath, caller: Caller, jobs: Jobs, letters: Letters) -> Response:
    """A job: what was asked for, how far it is, and what came of it."""
    job = await jobs.get(caller, job_id)
    audit = await letters.audit(subject=job.id, actor=None, action=None, cursor=None, limit=SHOWN)
    return page(
        "job.html",
        session,
        job=job,
        arguments=_written(job.arguments),
        result=None if job.result is None else _written(job.result),
        deeds=JOB_DEEDS if job.status in RETRYABLE else {},
        cancel=None if job.status.is_final else CANCEL_JOB,
        audit=audit,
    )


@router.get("/jobs/{job_id}/cancel")
@requires_session(Scope.OPERATOR)
async def ask_to_cancel_job(session: SignedIn, job_id: JobIdInPath, caller: Caller, jobs: Jobs) -> Response:
    await jobs.known(caller, job_id)
    return _question(job_id).ask(session)


@router.post("/jobs/{job_id}/cancel")
@requires_session(Scope.OPERATOR)
async def cancel_job(
    session: SignedIn, job_id: JobIdInPath, caller: Caller, acting: Acting, jobs: Jobs, form: Form
) -> Response:
    async def do(act: Act) -> None:
        await jobs.cancel(caller, job_id, act)

    return await _question(job_id).settle(session, form, acting, do)


@router.get("/batches/{batch_id}")
@requires_session(Scope.OPERATOR)
async def show_batch(session: SignedIn, batch_id: BatchIdInPath, caller: Caller, batches: Batches) -> Response:
    """A batch, by the statuses of its jobs."""
    return page("batch.html", session, batch=await batches.get(caller, batch_id))


@router.get("/reports/{report_id}")
@requires_session(Scope.OPERATOR)
async def show_report(session: SignedIn, report_id: ReportIdInPath, caller: Caller, reports: Reports) -> Response:
    """A report, and the job that writes it."""
    report = await reports.get(caller, report_id)
    return page("report.html", session, report=report, job_id=report.links.job.rpartition("/")[2])


def _question(job_id: str) -> Question:
    where = f"{CONSOLE}/jobs/{job_id}"
    return Question(CANCEL_JOB, job_id, action=f"{where}/cancel", back=where)


def _written(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
