"""A worker that makes traces follows the histories of one that made none, and a replay tells nothing anew."""

from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from temporalio.contrib.opentelemetry import TracingInterceptor
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from payloads import data_converter
from tests.replay.histories import load, recordings
from tests.replay.test_recorded_histories import WORKFLOWS


@pytest.mark.parametrize("path", recordings(), ids=lambda path: path.stem)
async def test_a_recorded_workflow_is_followed_without_a_span(path: Path) -> None:
    told = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(told))
    # Even where it would make spans for those that were started without.
    interceptor = TracingInterceptor(provider.get_tracer("temporalio"), always_create_workflow_spans=True)
    replayer = Replayer(
        workflows=WORKFLOWS,
        data_converter=data_converter({}),
        workflow_runner=UnsandboxedWorkflowRunner(),
        interceptors=[interceptor],
    )

    replayed = await replayer.replay_workflow(load(path), raise_on_replay_failure=False)

    assert replayed.replay_failure is None
    assert [span.name for span in told.get_finished_spans()] == []
