"""Histories as they were before their payloads were encrypted."""

import json
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowHandle, WorkflowHistory


async def history_of(client: Client, handle: WorkflowHandle[Any, Any]) -> WorkflowHistory:
    """A workflow's history, every payload of it readable."""
    return await decrypted(client, await handle.fetch_history())


async def decrypted(client: Client, history: WorkflowHistory) -> WorkflowHistory:
    codec = client.data_converter.payload_codec

    async def opened(found: Any) -> Any:
        match found:
            case {"metadata": {"encoding": _}, "data": _} if codec is not None:
                [payload] = await codec.decode([ParseDict(found, Payload())])
                return MessageToDict(payload)
            case dict():
                return {name: await opened(member) for name, member in found.items()}
            case list():
                return [await opened(member) for member in found]
        return found

    return WorkflowHistory.from_json(history.workflow_id, await opened(json.loads(history.to_json())))
