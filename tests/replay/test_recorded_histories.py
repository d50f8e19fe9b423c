"""Today's workflow code follows every history that an order may have: a deploy breaks no order that is running."""

import base64
import json
import pkgutil
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

import workflows
from payloads import EncryptionCodec, data_converter
from tests.chaos.newer_worker import LaterOrderWorkflow
from tests.replay.histories import load, recordings
from tests.replay.shapes import SHAPES
from workflows.bulk import BulkWorkflow
from workflows.delivery import DeliveryWorkflow
from workflows.job_batches import JobBatchWorkflow
from workflows.orders import OrderWorkflow
from workflows.shipments import ShipmentWorkflow
from workflows.upkeep import UPKEEP
from workflows.welcome import AccountMailWorkflow, WelcomeWorkflow

ROOT = Path(__file__).parents[2]
WORKFLOWS = [
    OrderWorkflow,
    WelcomeWorkflow,
    AccountMailWorkflow,
    DeliveryWorkflow,
    ShipmentWorkflow,
    *UPKEEP,
    JobBatchWorkflow,
    BulkWorkflow,
]

KEYS = {"new": b"n" * 32, "old": b"o" * 32}
# What the server or the SDK's core has to read: search attributes, and what a marker says of itself.
NEVER_ENCRYPTED = ("searchAttributes", "data", "patch-data")

ADVICE = """
{name}: today's workflow code asks for something else than this order's history holds, so every running order with
such a history would stand still after a deploy. Either take the change back, or

  1. keep the old way beside the new one:   if workflow.patched("what-changed"): ... else: ...
  2. record the new way:                    python -m tests.replay.record
  3. keep the old recordings until no order started before the change runs any more.

docs/deployment.md#changing-a-workflow has an example, and says when the old way may go.

{error}
"""


async def replay(
    history: WorkflowHistory, keys: Mapping[str, bytes] | None = None, of: Sequence[type] = WORKFLOWS
) -> BaseException | None:
    """What goes wrong when this code follows this history."""
    replayer = Replayer(
        workflows=of,
        data_converter=data_converter(keys or {}),
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    return (await replayer.replay_workflow(history, raise_on_replay_failure=False)).replay_failure


@pytest.mark.parametrize("path", recordings(), ids=lambda path: path.stem)
async def test_a_recorded_order_can_be_followed(path: Path) -> None:
    error = await replay(load(path))

    assert error is None, ADVICE.format(name=path.stem, error=error)


@pytest.mark.parametrize("path", recordings(), ids=lambda path: path.stem)
async def test_it_can_be_followed_when_encryption_began_and_keys_changed_on_its_way(path: Path) -> None:
    events = json.loads(load(path).to_json())["events"]
    third = len(events) // 3
    keys = ["plain"] * third + ["old"] * third + ["new"] * (len(events) - 2 * third)
    mixed = [await encrypted(event, key) for event, key in zip(events, keys, strict=True)]
    history = WorkflowHistory.from_json(path.stem, {"events": mixed})

    assert await replay(history, KEYS) is None
    assert encrypted_with(mixed)


async def test_a_history_whose_key_is_missing_fails_its_task_and_names_the_key(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorded = json.loads(load(recordings("approved")[-1]).to_json())
    history = WorkflowHistory.from_json("approved", await encrypted(recorded, "old"))

    error = str(await replay(history, {"new": KEYS["new"]}))

    assert "Workflow activation completion failed" in error
    assert "key 'old', which is not configured here" in caplog.text


async def encrypted(found: Any, key_id: str) -> Any:
    """An event as its writer would have written it with this key."""
    match found:
        case {"metadata": {"encoding": _}, "data": _} if key_id in KEYS:
            [payload] = await EncryptionCodec({key_id: KEYS[key_id]}).encode([ParseDict(found, Payload())])
            return MessageToDict(payload)
        case dict():
            return {
                name: member if name in NEVER_ENCRYPTED else await encrypted(member, key_id)
                for name, member in found.items()
            }
        case list():
            return [await encrypted(member, key_id) for member in found]
    return found


def encrypted_with(found: Any) -> list[str]:
    """The ids of the keys that payloads are encrypted with."""
    match found:
        case {"encryption-key-id": str(key_id)}:
            return [base64.b64decode(key_id).decode()]
        case dict():
            return [key_id for member in found.values() for key_id in encrypted_with(member)]
        case list():
            return [key_id for member in found for key_id in encrypted_with(member)]
    return []


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
    error = await replay(load(recordings("completed")[-1]), of=[LaterOrderWorkflow])

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
