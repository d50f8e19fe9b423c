"""The recorded histories, and what of each a workflow's code decides: its commands."""

import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHistory

RECORDED = Path(__file__).parent / "recorded"

# What differs between machines and says nothing.
_PRIVATE = {"identity": "worker", "stackTrace": ""}

# A mail that goes out once a day has its date for a number.
DAY = re.compile(r"\b20\d{6}\b")

Json = dict[str, Any]


def recordings(shape: str | None = None) -> list[Path]:
    """Every recording (of one shape), oldest first: `{shape}.{number}.json`."""
    return sorted(RECORDED.glob(f"{shape or '*'}.*.json"), key=lambda path: (path.name.split(".")[0], _number(path)))


def load(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.name.removesuffix(".json"), path.read_text())


def save(shape: str, history: WorkflowHistory) -> Path:
    """Write a further recording of this shape, one event a line."""
    earlier = recordings(shape)
    path = RECORDED / f"{shape}.{_number(earlier[-1]) + 1 if earlier else 1}.json"
    events = _without_private(json.loads(history.to_json()))["events"]
    RECORDED.mkdir(exist_ok=True)
    path.write_text('{"events": [\n' + ",\n".join(json.dumps(event) for event in events) + "\n]}\n")
    return path


def commands(history: WorkflowHistory) -> list[str]:
    """What the workflow's code asked for, in order. Replaying needs just this to stay the same."""
    events: list[Json] = json.loads(history.to_json())["events"]
    return [command for event in events if (command := _command(event)) is not None]


def _command(event: Json) -> str | None:
    kind: str = event["eventType"].removeprefix("EVENT_TYPE_").lower()
    match kind:
        case "marker_recorded":
            details = event["markerRecordedEventAttributes"]["details"]
            if "patch-data" in details:
                return f"patch {_decoded(details['patch-data']['payloads'][0])['id']}"
            [payload] = details["data"]["payloads"]
            return f"local activity {_decoded(payload)['activity_type']}: {_summary(event)}"
        case "activity_task_scheduled":
            scheduled = event["activityTaskScheduledEventAttributes"]
            queue = scheduled["taskQueue"]["name"]
            return f"activity {scheduled['activityType']['name']} on {queue}: {_summary(event)}"
        case "start_child_workflow_execution_initiated":
            started = event["startChildWorkflowExecutionInitiatedEventAttributes"]
            return f"child {started['workflowType']['name']} on {started['taskQueue']['name']}"
        case "timer_started":
            # Fractions of a second are jitter.
            timeout = event["timerStartedEventAttributes"]["startToFireTimeout"].partition(".")[0].rstrip("s")
            return f"timer of {timeout} s: {_summary(event)}"
        case "upsert_workflow_search_attributes":
            attributes = event["upsertWorkflowSearchAttributesEventAttributes"]["searchAttributes"]["indexedFields"]
            return f"search attributes { ({name: _decoded(value) for name, value in attributes.items()}) }"
        case "workflow_properties_modified":
            changed = event["workflowPropertiesModifiedEventAttributes"]["upsertedMemo"]["fields"]
            return f"memo {sorted(changed)}"
        case "workflow_execution_update_accepted":
            accepted = event["workflowExecutionUpdateAcceptedEventAttributes"]["acceptedRequest"]
            return f"update {accepted['input']['name']} accepted"
        case (
            "activity_task_cancel_requested"
            | "timer_canceled"
            | "workflow_execution_update_completed"
            | "workflow_execution_completed"
            | "workflow_execution_failed"
            | "workflow_execution_canceled"
        ):
            return kind.replace("_", " ")
    return None


def _summary(event: Json) -> str:
    payload = event.get("userMetadata", {}).get("summary")
    return DAY.sub("<day>", str(_decoded(payload))) if payload else ""


def _decoded(payload: Json) -> Any:
    return json.loads(b64decode(payload["data"]))


def _without_private(found: Any) -> Any:
    match found:
        case dict():
            return {name: _PRIVATE.get(name, _without_private(value)) for name, value in found.items()}
        case list():
            return [_without_private(item) for item in found]
    return found


def _number(path: Path) -> int:
    return int(path.name.split(".")[1])
