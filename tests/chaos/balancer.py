"""A load balancer in a few lines: round robin over the APIs that say they are ready, and never a second try."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

PROBE_EVERY_S = 0.1
READY_WITHIN_S = 30.0


class Balancer:
    """Counts what it sends, and keeps what went wrong: an error of the connection, or an answer of 5xx."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.sent = 0
        self.failed: list[str] = []
        self._headers = headers
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._ready: dict[str, bool] = {}
        self._turns = itertools.count()

    @asynccontextmanager
    async def probing(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._probe())
        try:
            yield
        finally:
            task.cancel()
            for client in self._clients.values():
                await client.aclose()

    def add(self, url: str) -> None:
        self._clients[url] = httpx.AsyncClient(base_url=url, headers=self._headers, timeout=20)
        self._ready[url] = False

    async def ready(self, url: str) -> None:
        """Wait until it is sent requests."""
        async with asyncio.timeout(READY_WITHIN_S):
            while not self._ready[url]:
                await asyncio.sleep(PROBE_EVERY_S)

    async def send(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        """One request, to whoever's turn it is. None when it failed."""
        ready = [url for url, is_ready in self._ready.items() if is_ready]
        self.sent += 1
        if not ready:
            self.failed.append(f"{method} {path}: nobody is ready")
            return None
        url = ready[next(self._turns) % len(ready)]
        try:
            response = await self._clients[url].request(method, path, **more)
        except httpx.HTTPError as error:
            self.failed.append(f"{method} {path} at {url}: {error!r}")
            return None
        if response.status_code >= 500:
            self.failed.append(f"{method} {path} at {url}: {response.status_code} {response.text}")
            return None
        return response

    async def _probe(self) -> None:
        # On connections of its own: those of requests are let be.
        async with httpx.AsyncClient(timeout=5) as prober:
            while True:
                for url in list(self._ready):
                    try:
                        answer = await prober.get(f"{url}/readyz")
                        self._ready[url] = answer.status_code == 200
                    except httpx.HTTPError:
                        self._ready[url] = False
                await asyncio.sleep(PROBE_EVERY_S)
