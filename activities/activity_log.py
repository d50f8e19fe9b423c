"""A line in the log for every activity, local, regular or a job, with the ids to follow its order or account by."""

import time
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

SUBJECTS = {"order": "order_id", "shipment": "fulfilment_id", "welcome": "account_id", "delivery": "delivery_id"}

log = structlog.get_logger()


class ActivityLog(Interceptor):
    """Binds workflow and run id, and the order's, for all that an activity logs, and says how the activity ended."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Inbound(next)


class _Inbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        info = activity.info()
        workflow_id = info.workflow_id or ""
        # An order's workflow id is `order/` and the order's id, and so on.
        subject, _, subject_id = workflow_id.partition("/")
        ids = {SUBJECTS[subject]: subject_id} if subject in SUBJECTS else {}
        if not info.in_workflow:
            ids = {"job_id": info.activity_id}
        with bound_contextvars(
            activity=info.activity_type,
            attempt=info.attempt,
            local=info.is_local,
            **ids,
            workflow_id=workflow_id,
            run_id=info.workflow_run_id,
        ):
            began = time.perf_counter()
            outcome = "interrupted"
            try:
                result = await super().execute_activity(input)
                outcome = "done"
            except ApplicationError as error:
                outcome = error.type or "failed"
                raise
            except Exception:
                outcome = "failed"
                raise
            finally:
                log.info("activity", outcome=outcome, duration_ms=round((time.perf_counter() - began) * 1_000, 1))
        return result
