"""A stack of their own for these tests: one that is traced."""

from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import customer, door, http, operator
from tests.collector import Collector, collecting
from tests.stack_session import RunningStack, bring_up, throw_away

__all__ = ["customer", "door", "http", "operator"]

# What opens the collector's door, in the form of a URL's query, as OpenTelemetry has it.
HEADERS = "authorization=Bearer%20canary-collector-51f0"
AUTHORIZATION = "Bearer canary-collector-51f0"


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Where the stack's processes send their spans."""
    with collecting() as opened:
        yield opened


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[RunningStack]:
    """A stack whose spans go to the collector, soon after they end."""
    home = tmp_path_factory.mktemp("traced") / "home"
    try:
        found = bring_up(
            home,
            FOLLOWTHROUGH_ENCRYPT_PAYLOADS="true",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_EXPORTER_OTLP_HEADERS=HEADERS,
            OTEL_BSP_SCHEDULE_DELAY="100",
        )
        yield RunningStack.of(home, found)
    finally:
        throw_away(home)
