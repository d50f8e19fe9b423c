"""What of a span leaves the process: what it was and how long it took, and of nobody's data anything."""

from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import CarrierT, Getter, default_getter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, Status, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes

TRACEPARENT = "traceparent"
OF_TEMPORAL = ("temporalWorkflowID", "temporalRunID", "temporalActivityID", "temporalActivityType", "temporalUpdateID")
# Left out are, above all, URLs and their queries, addresses of clients, the parameters of statements, and whatever an
# instrumentation may come to add.
TOLD = frozenset(
    (
        *OF_TEMPORAL,
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "url.scheme",
        "network.protocol.name",
        "network.protocol.version",
        "server.address",
        "server.port",
        "db.system.name",
        "db.namespace",
        "db.query.text",
        "error.type",
    )
)


class Discreet(SpanExporter):
    """Hands spans on with the attributes that may be told, and of an error no more than its type."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([_told(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _told(span: ReadableSpan) -> ReadableSpan:
    attributes = {name: value for name, value in (span.attributes or {}).items() if name in TOLD}
    for event in span.events:
        # Messages and stack traces may quote anything.
        if (raised := (event.attributes or {}).get("exception.type")) is not None:
            attributes["error.type"] = raised
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        links=[Link(link.context) for link in span.links],
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


class TraceIds(TraceContextTextMapPropagator):
    """Takes the ids of a caller's trace (W3C Trace Context) and nothing else that it says.

    What is taken here is passed on into Temporal's histories and to providers, so baggage and trace state stay outside.
    """

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        given = getter.get(carrier, TRACEPARENT)
        return super().extract({TRACEPARENT: list(given)} if given else {}, context)


class Roots(Sampler):
    """Says which traces there are: those of requests, of activities, and of what is asked of Temporal.

    A statement or call that nobody asked for begins none: the outbox and the queues are looked at all the time.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._sampler = ParentBased(TraceIdRatioBased(share))

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        begins = not trace.get_current_span(parent_context).get_span_context().is_valid
        if begins and kind is SpanKind.CLIENT and not any(named in (attributes or {}) for named in OF_TEMPORAL):
            return SamplingResult(Decision.DROP)
        return self._sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"Roots{{{self._share:g}}}"
