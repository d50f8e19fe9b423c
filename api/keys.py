"""The public keys that sign our tokens: a JWK set (RFC 7517) from a URL, kept and refreshed."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx
import structlog
from jwt import PyJWK, PyJWTError

# Asymmetric and modern; a symmetric algorithm in a key set would make its public key a secret (RFC 8725).
ALGORITHMS = ("EdDSA", "RS256", "ES256")
TRY_AT_MOST_EVERY_S = 2.0
REFRESH_EVERY_S = 300.0
FETCH_WITHIN_S = 3.0

log = structlog.get_logger()


class KeysUnavailable(Exception):
    """No key set was ever loaded, so no token can be judged."""


class SigningKeys:
    """Keys by their id. Loaded when first needed; again for an unknown id, and in the background now and then.

    A key that is dropped from the set stops counting within ten minutes. When the URL stops answering, the keys known
    last go on being used.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        if urlsplit(url).scheme not in ("https", "file"):
            raise ValueError("FOLLOWTHROUGH_JWKS_URL must start with https:// or file://")
        self._url = url
        self._clock = clock
        self._keys: dict[str | None, PyJWK] | None = None
        self._tried_at = float("-inf")
        self._loaded_at = float("-inf")
        self._loading = asyncio.Lock()
        self._refresh: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None) -> PyJWK | None:
        """The key of this id; a token without one is taken to mean the only key. Raises KeysUnavailable."""
        keys = self._keys
        if keys is None or (key_id is not None and key_id not in keys):
            await self._load()
            keys = self._keys
        elif self._clock() - self._loaded_at > REFRESH_EVERY_S and not self._loading.locked():
            long_ago = self._clock() - self._tried_at > 2 * REFRESH_EVERY_S
            self._refresh = asyncio.create_task(self._load())
            if long_ago:
                # Nobody has called since: what was dropped meanwhile is not to count once more.
                await self._refresh
                keys = self._keys
        if keys is None:
            raise KeysUnavailable
        if key_id is None:
            return next(iter(keys.values())) if len(keys) == 1 else None
        return keys.get(key_id)

    async def _load(self) -> None:
        async with self._loading:
            if self._clock() - self._tried_at < TRY_AT_MOST_EVERY_S:
                return
            self._tried_at = self._clock()
            try:
                self._keys = _usable(await self._fetch())
                self._loaded_at = self._clock()
            except (OSError, httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
                log.warning("signing keys could not be loaded", url=self._url, error=repr(error))

    async def _fetch(self) -> Any:
        parts = urlsplit(self._url)
        if parts.scheme == "file":
            text = await asyncio.to_thread(Path(url2pathname(parts.path)).read_text)
            return json.loads(text)
        async with httpx.AsyncClient(timeout=FETCH_WITHIN_S) as client:
            return (await client.get(self._url)).raise_for_status().json()


def _usable(key_set: Any) -> dict[str | None, PyJWK]:
    """The keys that may sign tokens; keys for other purposes and of other kinds may stand beside them."""
    usable: dict[str | None, PyJWK] = {}
    for member in key_set["keys"]:
        try:
            key = PyJWK.from_dict(member)
        except PyJWTError:
            continue
        if key.algorithm_name in ALGORITHMS and key.public_key_use != "enc":
            usable[key.key_id] = key
    return usable
