"""GET on loopback for the probes: plain http.client, which costs `up` no memory and no start-up time."""

import asyncio
import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit

TIMEOUT_S = 2.0


async def get(url: str, query: Mapping[str, str] | None = None) -> tuple[int, Any]:
    """Status and decoded JSON (None when the body is none). Status 0 when nothing answers within two seconds."""
    return await asyncio.to_thread(_get, url, query or {})


async def is_ok(url: str) -> bool:
    """Whether this URL answers 200."""
    return (await get(url))[0] == 200


def _get(url: str, query: Mapping[str, str]) -> tuple[int, Any]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", f"{parts.path}?{urlencode(query)}" if query else parts.path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, HTTPException):
        return 0, None
    finally:
        connection.close()
    try:
        return response.status, json.loads(body)
    except ValueError:
        return response.status, None
