"""A collector of traces, as far as ours are concerned: it takes what OTLP over HTTP brings, and keeps it."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

WITHIN_S = 30.0
POLL_S = 0.05


@dataclass(frozen=True)
class Told:
    """A span, with what its process said of itself."""

    service: str
    span: Span
    attributes: dict[str, str]

    @classmethod
    def of(cls, service: str, span: Span) -> Self:
        return cls(service, span, _values(span.attributes))

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def trace_id(self) -> str:
        return self.span.trace_id.hex()

    @property
    def id(self) -> str:
        return self.span.span_id.hex()

    @property
    def parent(self) -> str:
        """Nothing for a root."""
        return self.span.parent_span_id.hex()


@dataclass
class Collector:
    """Whatever was brought, as it came and decoded."""

    url: str
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def spans(self) -> list[Told]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in tuple(self.bodies)]
        return [
            Told.of(_values(resource.resource.attributes)["service.name"], span)
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def trace(self, trace_id: str) -> list[Told]:
        return [told for told in self.spans if told.trace_id == trace_id]

    async def until(self, trace_id: str, complete: Callable[[list[Told]], bool]) -> list[Told]:
        """Wait until all of this trace that is wanted is there."""
        async with asyncio.timeout(WITHIN_S):
            while not complete(found := self.trace(trace_id)):
                await asyncio.sleep(POLL_S)
        return found


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens while the context is open."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            known = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            if known:
                collector.bodies.append(body)
                collector.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(200 if known else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _values(attributes: Iterable[KeyValue]) -> dict[str, str]:
    return {one.key: str(getattr(one.value, str(one.value.WhichOneof("value")))) for one in attributes}
