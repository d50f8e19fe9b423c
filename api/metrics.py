"""What the API counts; Prometheus reads it on a port of its own."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, disable_created_metrics, start_http_server
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.inbound import InboundProvider
from database.engine import pool_use

# When each began to be counted: a series more for every one, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

REQUESTS = Histogram(
    "followthrough_api_request_seconds",
    "Time until the answer begins, by route template, method and status",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)

INBOUND_WEBHOOKS = Counter(
    "followthrough_inbound_webhooks",
    "Webhooks of providers, by what they were: accepted, duplicate, or forged (which a stale one may be, too)",
    ["provider", "outcome"],
)
for _provider in InboundProvider:
    for _outcome in ("accepted", "duplicate", "forged"):
        # Shown as 0 until it happens, so that the first one is a rise.
        INBOUND_WEBHOOKS.labels(_provider, _outcome)

ORDER_WATCHERS = Gauge("followthrough_order_watchers", "Clients that watch an order now")
ORDER_WATCHERS_DROPPED = Counter("followthrough_order_watchers_dropped", "Watchers dropped for reading too slowly")
JOB_WATCHERS = Gauge("followthrough_job_watchers", "Clients that watch a job now")
JOB_WATCHERS_DROPPED = Counter("followthrough_job_watchers_dropped", "Watchers dropped for reading too slowly")
ATTENTION_WATCHERS = Gauge("followthrough_attention_watchers", "Operators that watch what needs attention now")
ATTENTION_WATCHERS_DROPPED = Counter(
    "followthrough_attention_watchers_dropped", "Watchers dropped for reading too slowly"
)
ORDER_EXPORTS = Gauge("followthrough_order_exports", "Exports of orders under way")

EVENT_LOOP_BLOCKS = Counter("followthrough_event_loop_blocks", "How often the event loop was blocked")
EVENT_LOOP_BLOCKED = Histogram(
    "followthrough_event_loop_blocked_seconds",
    "For how long the event loop was blocked",
    buckets=(0.5, 1, 2.5, 5, 10, 30, 60),
)


def event_loop_blocked(seconds: float) -> None:
    EVENT_LOOP_BLOCKS.inc()
    EVENT_LOOP_BLOCKED.observe(seconds)


class _Pools(Collector):
    """Looks at pools when it is asked, under the names that the worker has for its own."""

    def __init__(self, engines: Mapping[str, AsyncEngine]) -> None:
        self._engines = engines

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand, or a second application in this process could not show its own."""
        return ()

    def collect(self) -> Iterator[Metric]:
        used = GaugeMetricFamily(
            "followthrough_database_connections_used", "Connections handed out by a pool", labels=["pool"]
        )
        limit = GaugeMetricFamily(
            "followthrough_database_connections_limit", "Connections a pool may have", labels=["pool"]
        )
        for name, engine in self._engines.items():
            use = pool_use(engine)
            used.add_metric([name], use.used)
            limit.add_metric([name], use.limit)
        yield from (used, limit)


@contextmanager
def pools_shown(engines: Mapping[str, AsyncEngine]) -> Iterator[None]:
    """Show how much of each of these pools is in use while the context is open."""
    pools = _Pools(engines)
    REGISTRY.register(pools)
    try:
        yield
    finally:
        REGISTRY.unregister(pools)


@contextmanager
def served(host: str, port: int) -> Iterator[None]:
    """Serve /metrics from a thread while the context is open. Raises OSError when the port is taken."""
    server, thread = start_http_server(port, addr=host)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
