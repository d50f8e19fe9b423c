"""Owners of jobs over HTTP, beside what reaches behind it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.acceptance.client import Caller, Door
from tests.acceptance.conftest import door, http
from tests.integration.api.conftest import own_stack
from tests.integration.jobs.benches import Bench, open_bench
from tests.shop import Shop
from tests.stack_session import RunningStack

__all__ = ["door", "http", "own_stack"]


@pytest.fixture
def owner(door: Door) -> Caller:
    return door.customer("jobs:write")


@pytest.fixture
async def bench(shop: Shop) -> AsyncIterator[Bench]:
    async with open_bench(shop) as opened:
        yield opened


@pytest.fixture
async def own_caller(own_stack: RunningStack) -> AsyncIterator[Caller]:
    """Somebody with the stack that is broken."""
    async with httpx.AsyncClient(base_url=own_stack.api_url, timeout=10) as client:
        yield Caller(client, own_stack, "ada", "jobs:write")
