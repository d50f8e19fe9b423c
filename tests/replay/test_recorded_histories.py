"""Today's workflow code follows every history that an order may have: a deploy breaks no order that is running."""

import json
import pkgutil
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

import workflows
from tests.chaos.newer_worker import LaterOrderWorkflow
from tests.replay.histories import load, recordings
from tests.replay.shapes import SHAPES
from workflows.delivery import DeliveryWorkflow
from workflows.job_batches import JobBatchWorkflow
from workflows.orders import OrderWorkflow
from workflows.shipments import ShipmentWorkflow
from workflows.upkeep import UPKEEP
from workflows.welcome import AccountMailWorkflow, WelcomeWorkflow

ROOT = Path(__file__).parents[2]
WORKFLOWS: list[type] = [
    OrderWorkflow,
    WelcomeWorkflow,
    AccountMailWorkflow,
    DeliveryWorkflow,
    ShipmentWorkflow,
    *UPKEEP,
    JobBatchWorkflow,
]

ADVICE = """
{name}: today's workflow code asks for something else than this order's history holds, so every running order with
such a history would stand still after a deploy. Either take the change back, or

  1. keep the old way beside the new one:   if workflow.patched("what-changed"): ... else: ...
  2. record the new way:                    python -m tests.replay.record
  3. keep the old recordings until no order started before the change runs any more.

docs/deployment.md#changing-a-workflow has an example, and says when the old way may go.

{error}
"""


async def replay(history: WorkflowHistory, of: Sequence[type] = WORKFLOWS) -> BaseException | None:
    """What goes wrong when this code follows this history."""
    replayer = Replayer(
        workflows=of,
        data_converter=pydantic_data_converter,
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    return (await replayer.replay_workflow(history, raise_on_replay_failure=False)).replay_failure


@pytest.mark.parametrize("path", recordings(), ids=lambda path: path.stem)
async def test_a_recorded_order_can_be_followed(path: Path) -> None:
    error = await replay(load(path))

    assert error is None, ADVICE.format(name=path.stem, error=error)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_recorded(shape: str) -> None:
    assert recordings(shape), "run: python -m tests.replay.record"


def test_every_workflow_is_recorded() -> None:
    modules = [import_module(f"workflows.{found.name}") for found in pkgutil.iter_modules(workflows.__path__)]
    defined = {
        vars(found)["__temporal_workflow_definition"].name
        for module in modules
        for found in vars(module).values()
        if isinstance(found, type) and "__temporal_workflow_definition" in vars(found)
    }
    recorded = {
        json.loads(path.read_text())["events"][0]["workflowExecutionStartedEventAttributes"]["workflowType"]["name"]
        for path in recordings()
    }

    assert recorded == defined


async def test_a_change_without_a_patch_is_noticed_and_the_advice_leads_somewhere() -> None:
    """One that nobody recorded: an order of a release to come begins with a timer."""
    error = await replay(load(recordings("completed")[-1]), [LaterOrderWorkflow])

    assert error is not None
    assert "Nondeterminism" in str(error)
    document, _, anchor = re.findall(r"(docs/\S+)", ADVICE)[0].partition("#")
    headings = re.findall(r"^## (.+)$", (ROOT / document).read_text(), re.MULTILINE)
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


async def test_another_activity_than_the_recorded_one_is_noticed() -> None:
    recorded = recordings("charge_retried")[-1].read_text()
    changed = json.loads(recorded)
    for event in changed["events"]:
        if scheduled := event.get("activityTaskScheduledEventAttributes"):
            scheduled["activityType"]["name"] = "refund"

    error = await replay(WorkflowHistory.from_json("changed", changed))

    assert error is not None
    assert "charge" in str(error)
