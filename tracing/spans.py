"""What makes a process's spans, and sends them: imported only where there are traces."""

import os
import threading
from collections.abc import Mapping
from importlib.metadata import version

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from structlog.typing import EventDict
from temporalio.contrib.opentelemetry import TracingInterceptor

from tracing import Tracing
from tracing.discretion import Discreet, Roots, TraceIds

# The collector is beside us, and nobody waits for it; a batch that it doesn't take by then is lost.
SENT_WITHIN_S = 5.0
STOPPED_WITHIN_S = 2.0


def traced(service: str, *, url: str, headers: Mapping[str, str], share: float) -> Tracing:
    """Have this process's HTTP calls, statements and Temporal calls make spans, and send them there.

    `share`, from 0 to 1, of the traces that begin here is kept; a caller decides for those that began with it.
    """
    # Names of attributes that are settled. The instrumentations read it here, and can be told in no other way.
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http,database"
    provider = TracerProvider(
        sampler=Roots(share),
        resource=Resource.create({"service.name": service, "service.version": version("followthrough")}),
        shutdown_on_exit=False,
    )
    sending = OTLPSpanExporter(endpoint=url, headers=headers, timeout=SENT_WITHIN_S)
    provider.add_span_processor(BatchSpanProcessor(Discreet(sending)))
    propagate.set_global_textmap(TraceIds())
    AsyncPGInstrumentor().instrument(tracer_provider=provider)  # type: ignore[no-untyped-call]
    HTTPXClientInstrumentor().instrument(tracer_provider=provider)
    return Tracing(
        interceptors=[TracingInterceptor(provider.get_tracer("temporalio"))],
        log_processors=[name_trace],
        provider=provider,
        stop=lambda: _stop(provider),
    )


def name_trace(_logger: object, _method: str, line: EventDict) -> EventDict:
    """Have a line of the log name the span it was written in."""
    within = trace.get_current_span().get_span_context()
    if within.is_valid:
        line["trace_id"] = trace.format_trace_id(within.trace_id)
        line["span_id"] = trace.format_span_id(within.span_id)
    return line


def _stop(provider: TracerProvider) -> None:
    """Left to itself it would wait for a collector that is away for as long as there are batches left."""
    stopping = threading.Thread(target=provider.shutdown, daemon=True)
    stopping.start()
    stopping.join(STOPPED_WITHIN_S)
