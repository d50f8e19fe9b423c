"""Temporal's codec server: for operators whose Web UI, or command line, is to show what is encrypted.

https://github.com/temporalio/samples-go/blob/main/codec-server/protocol.md; docs/security.md says how it is set up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import APIRouter
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from pydantic import BaseModel, Field
from temporalio.api.common.v1 import Payload, Payloads

from api.auth import Scope
from api.dependencies import Codec
from api.errors import FieldError, InvalidRequest
from api.routing import GuardedRoute, requires
from payloads import PayloadUnreadable

# So many take a few milliseconds.
AT_ONCE = 50
EXAMPLE = {"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "ImhlbGxvIg=="}


class CodecRoute(GuardedRoute):
    """The Web UI sends what a page of a history holds at once; a single payload may have 2 MiB."""

    max_body_bytes = 8 * 1024 * 1024


class PayloadsBody(BaseModel):
    """Payloads as Protobuf's JSON has them: what is bytes is base64."""

    payloads: list[dict[str, Any]] = Field(max_length=10_000, examples=[[EXAMPLE]])


router = APIRouter(prefix="/codec", tags=["codec"], route_class=CodecRoute)


@router.post("/decode")
@requires(Scope.OPERATOR)
async def decode(body: PayloadsBody, codec: Codec) -> PayloadsBody:
    """Decrypt payloads. What is not encrypted, or not with a key that is here, comes back as it is."""

    async def decrypted(payloads: Sequence[Payload]) -> Sequence[Payload]:
        return payloads if codec is None else [await _decrypted(codec, payload) for payload in payloads]

    return await _by_turns(body, decrypted)


@router.post("/encode")
@requires(Scope.OPERATOR)
async def encode(body: PayloadsBody, codec: Codec) -> PayloadsBody:
    """Encrypt payloads, such as the arguments of a signal that is sent from the Web UI."""

    async def encrypted(payloads: Sequence[Payload]) -> Sequence[Payload]:
        return payloads if codec is None else await codec.encode(payloads)

    return await _by_turns(body, encrypted)


async def _decrypted(codec: Codec, payload: Payload) -> Payload:
    assert codec is not None
    try:
        [plain] = await codec.decode([payload])
    except PayloadUnreadable:
        # One that cannot be read does not hide the others.
        return payload
    return plain


async def _by_turns(
    body: PayloadsBody, translate: Callable[[Sequence[Payload]], Awaitable[Sequence[Payload]]]
) -> PayloadsBody:
    """A few at a time: whoever else is served by this process has a turn in between."""
    translated: list[dict[str, Any]] = []
    for first in range(0, len(body.payloads), AT_ONCE):
        payloads = _parsed(body.payloads[first : first + AT_ONCE])
        translated += [MessageToDict(payload) for payload in await translate(payloads)]
        await asyncio.sleep(0)
    return PayloadsBody(payloads=translated)


def _parsed(payloads: Sequence[dict[str, Any]]) -> Sequence[Payload]:
    try:
        return ParseDict({"payloads": payloads}, Payloads(), ignore_unknown_fields=True).payloads
    except ParseError:
        # Its text would repeat what was sent.
        problem = FieldError(field="payloads", message="must be payloads in Protobuf's JSON")
        raise InvalidRequest("1 field is not valid", errors=[problem]) from None
