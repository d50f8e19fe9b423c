"""A line in the log for every activity, local or regular, with the ids to follow an order by."""

import time
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

log = structlog.get_logger()


class ActivityLog(Interceptor):
    """Binds order, workflow and run id for all that an activity logs, and says how the activity ended."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Inbound(next)


class _Inbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        info = activity.info()
        workflow_id = info.workflow_id or ""
        with bound_contextvars(
            activity=info.activity_type,
            attempt=info.attempt,
            local=info.is_local,
            order_id=workflow_id.removeprefix("order/"),
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
