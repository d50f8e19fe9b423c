"""Heartbeats from the platform: a regular activity's loss with its worker, or its cancellation, is noticed at once."""

import asyncio
from typing import Any

from temporalio import activity
from temporalio.worker import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)


class Heartbeats(Interceptor):
    """Beats for every activity that has a heartbeat time-out, with the details that the activity beat last."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Inbound(next)


class _Inbound(ActivityInboundInterceptor):
    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        self._outbound = _Outbound(outbound)
        super().init(self._outbound)

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        info = activity.info()
        if info.is_local or info.heartbeat_timeout is None:
            return await super().execute_activity(input)
        self._outbound.details = tuple(info.heartbeat_details)
        beating = asyncio.create_task(self._beat(info.heartbeat_timeout.total_seconds() / 4))
        try:
            return await super().execute_activity(input)
        finally:
            beating.cancel()

    async def _beat(self, every_s: float) -> None:
        while True:
            self._outbound.heartbeat(*self._outbound.details)
            await asyncio.sleep(every_s)


class _Outbound(ActivityOutboundInterceptor):
    """Remembers the details, since each heartbeat replaces those of the one before."""

    details: tuple[Any, ...] = ()

    def heartbeat(self, *details: Any) -> None:
        self.details = details
        super().heartbeat(*details)
