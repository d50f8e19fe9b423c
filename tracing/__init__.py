"""Traces: spans of what a process does, sent to where the environment says.

Where it says nothing, nothing of OpenTelemetry is imported, and a process is given nothing. docs/operations.md says
what is in a trace, docs/decisions/traces.md why it is done so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from settings import TracingSettings

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider
    from structlog.typing import Processor
    from temporalio.client import Interceptor


def _nothing() -> None:
    """There is nothing to stop."""


@dataclass(frozen=True)
class Tracing:
    """What a process is given for its traces; as it stands, what it is given without any.

    `interceptors` are for its client of Temporal, `log_processors` for its log, `provider` for FastAPI. `stop` sends
    what is left, and is the last thing a process does; it takes 2 s at most.
    """

    interceptors: "Sequence[Interceptor]" = ()
    log_processors: "Sequence[Processor]" = ()
    provider: "TracerProvider | None" = None
    stop: Callable[[], None] = _nothing


def begin(process: str) -> Tracing:
    """Trace this process, `api` or `worker`, from now on, where its environment says whereto."""
    settings = TracingSettings()
    if settings.exporter_otlp_endpoint is None:
        return Tracing()
    from tracing.spans import traced

    return traced(
        settings.service_name or f"followthrough-{process}",
        url=f"{settings.exporter_otlp_endpoint}/v1/traces",
        headers=settings.headers,
        share=settings.traces_sampler_arg,
    )
