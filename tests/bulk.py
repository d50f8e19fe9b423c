"""Bulk actions as operators ask for them over HTTP, and something for them to be about."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from contracts.webhooks import DisabledReason, EndpointStatus
from tests.acceptance.client import POLL_S, WITHIN_S, Caller, new_key
from tests.endpoints import ShopEndpoint
from tests.shop import Shop
from tests.webhooks import Hook, answer

Json = dict[str, Any]
BULK = "/v1/admin/bulk"
NOWHERE = Hook("hooks.invalid", [answer()])


@dataclass(frozen=True)
class StartedBulk:
    """A bulk action, and the request that asked for it."""

    operator: Caller
    id: str
    request_id: str

    async def now(self) -> Json:
        answered = await self.operator.get(f"{BULK}/{self.id}")
        assert answered.status_code == 200, answered.text
        found: Json = answered.json()
        return found

    async def until(self, is_so: Callable[[Json], bool], within_s: float = WITHIN_S) -> Json:
        async with asyncio.timeout(within_s):
            while not is_so(found := await self.now()):
                await asyncio.sleep(POLL_S)
        return found

    async def finished(self, within_s: float = WITHIN_S) -> Json:
        return await self.until(lambda now: now["status"] == "finished", within_s)


async def ask_for(operator: Caller, wanted: Json, *, key: str | None = None, **body: Any) -> httpx.Response:
    """Ask for a bulk action, a retry unless told."""
    asked = {"action": "retry", "filter": wanted, **body}
    return await operator.post(BULK, {"Idempotency-Key": key or new_key()}, json=asked)


async def started(operator: Caller, wanted: Json, **body: Any) -> StartedBulk:
    answered = await ask_for(operator, wanted, **body)
    assert answered.status_code == 202, answered.text
    bulk: Json = answered.json()
    assert answered.headers["location"] == bulk["links"]["self"] == f"{BULK}/{bulk['id']}"
    return StartedBulk(operator, bulk["id"], answered.headers["x-request-id"])


async def another(endpoint: ShopEndpoint, shop: Shop) -> ShopEndpoint:
    """One more of the same owner's, disabled last."""
    made = await ShopEndpoint.at(NOWHERE, shop, owner=endpoint.owner)
    at = datetime.now(UTC) - timedelta(minutes=1)
    await made.alter(status=EndpointStatus.DISABLED, disabled_reason=DisabledReason.GONE, disabled_at=at, updated_at=at)
    return made


async def dead_endpoints(shop: Shop, count: int) -> list[ShopEndpoint]:
    """Endpoints of an owner who has no others; we disabled them a while ago, one after the other."""
    owner = f"owner-{uuid4().hex}"
    made = [await ShopEndpoint.at(NOWHERE, shop, owner=owner) for _ in range(count)]
    for number, endpoint in enumerate(made):
        at = datetime.now(UTC) - timedelta(hours=2) + timedelta(minutes=number)
        await endpoint.alter(
            status=EndpointStatus.DISABLED, disabled_reason=DisabledReason.GONE, disabled_at=at, updated_at=at
        )
    return made
