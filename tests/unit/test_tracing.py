"""What a trace begins with, what it takes from callers, and what of a span is told."""

import socket
import subprocess
import sys

import pytest
from opentelemetry import trace
from opentelemetry.baggage import set_baggage
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Tracer
from pydantic import ValidationError

from settings import TracingSettings
from tests.collector import collecting
from tests.stack_session import clean_environment
from tracing.discretion import Discreet, Roots, TraceIds
from tracing.spans import STOPPED_WITHIN_S, name_trace

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CANARY = "ada@example.com"


class Spans:
    """A tracer as ours are set up, and what it tells."""

    def __init__(self, share: float = 1.0) -> None:
        self.told = InMemorySpanExporter()
        provider = TracerProvider(sampler=Roots(share), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(Discreet(self.told)))
        self.tracer: Tracer = provider.get_tracer("test")

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.told.get_finished_spans()]


@pytest.fixture
def spans() -> Spans:
    return Spans()


def test_attributes_that_nobody_listed_stay_here_and_so_does_the_text_of_errors(spans: Spans) -> None:
    attributes = {"url.full": f"https://example.com/?to={CANARY}", "http.route": "/v1/orders"}
    with pytest.raises(ValueError, match=CANARY), spans.tracer.start_as_current_span("POST", attributes=attributes):
        raise ValueError(CANARY)

    [span] = spans.told.get_finished_spans()

    assert CANARY not in span.to_json()
    assert dict(span.attributes or {}) == {"http.route": "/v1/orders", "error.type": "ValueError"}
    assert span.status.status_code is trace.StatusCode.ERROR


def test_a_statement_that_nobody_asked_for_begins_no_trace(spans: Spans) -> None:
    statement = {"db.query.text": "SELECT 1"}
    with spans.tracer.start_as_current_span("SELECT alone", kind=SpanKind.CLIENT, attributes=statement):
        pass
    with (
        spans.tracer.start_as_current_span("GET /v1/orders", kind=SpanKind.SERVER),
        spans.tracer.start_as_current_span("SELECT", kind=SpanKind.CLIENT, attributes=statement),
    ):
        pass
    started = {"temporalWorkflowID": "job/1"}
    with spans.tracer.start_as_current_span("StartWorkflow:Job", kind=SpanKind.CLIENT, attributes=started):
        pass

    assert spans.names == ["SELECT", "GET /v1/orders", "StartWorkflow:Job"]


@pytest.mark.parametrize(("flags", "kept"), [("01", ["within"]), ("00", [])])
def test_a_caller_decides_whether_its_trace_is_kept(flags: str, kept: list[str]) -> None:
    spans = Spans(share=0.5)
    context = TraceIds().extract({"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-{flags}"})

    with spans.tracer.start_as_current_span("within", context=context, kind=SpanKind.SERVER):
        pass

    assert spans.names == kept


def test_a_share_of_none_keeps_no_trace_that_begins_here() -> None:
    spans = Spans(share=0.0)

    with spans.tracer.start_as_current_span("GET /v1/orders", kind=SpanKind.SERVER):
        pass

    assert spans.names == []


def test_of_what_a_caller_says_only_the_ids_are_taken_and_passed_on() -> None:
    traceparent = f"00-{TRACE_ID}-{SPAN_ID}-01"
    said = {"traceparent": traceparent, "tracestate": f"vendor={CANARY}", "baggage": f"to={CANARY}"}
    passed_on: dict[str, str] = {}

    TraceIds().inject(passed_on, set_baggage("to", CANARY, TraceIds().extract(said)))

    assert passed_on == {"traceparent": traceparent}


def test_a_line_names_its_trace_only_within_one(spans: Spans) -> None:
    assert name_trace(None, "info", {"event": "alone"}) == {"event": "alone"}
    with spans.tracer.start_as_current_span("GET /v1/orders", kind=SpanKind.SERVER):
        line = name_trace(None, "info", {"event": "within"})

    [span] = spans.told.get_finished_spans()
    assert span.context is not None
    assert line["trace_id"] == f"{span.context.trace_id:032x}"
    assert line["span_id"] == f"{span.context.span_id:016x}"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://me:canary@collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4318?key=canary"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "canary"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_no_secret_is_repeated(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ValidationError) as refused:
        TracingSettings()

    assert "canary" not in str(refused.value)


def test_headers_are_read_as_a_urls_query_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Basic%20YTpi, X-Tenant=shop")

    settings = TracingSettings()

    assert settings.headers == {"authorization": "Basic YTpi", "x-tenant": "shop"}
    assert "YTpi" not in repr(settings)


SHORT = """
import time, tracing
from opentelemetry.trace import SpanKind
traces = tracing.begin("worker")
with traces.provider.get_tracer("test").start_as_current_span("last", kind=SpanKind.SERVER):
    pass
began = time.monotonic()
traces.stop()
print(time.monotonic() - began)
"""


def test_what_was_done_last_is_sent_before_a_process_ends() -> None:
    with collecting() as collector:
        run(collector.url)

    assert [(told.service, told.name) for told in collector.spans] == [("followthrough-worker", "last")]


def test_a_process_ends_though_the_collector_is_away() -> None:
    """And says nothing of what opens its door."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = run(f"http://127.0.0.1:{silent.getsockname()[1]}")

    assert float(done.stdout) < STOPPED_WITHIN_S + 1
    assert "canary" not in done.stdout + done.stderr


def run(url: str) -> subprocess.CompletedProcess[str]:
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=canary"}
    return subprocess.run(
        [sys.executable, "-c", SHORT], env=clean_environment() | told, capture_output=True, text=True, check=True
    )
