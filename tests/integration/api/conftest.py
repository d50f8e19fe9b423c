"""Callers of the session's stack over HTTP, beside the shop that reaches behind it; and a stack to break."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.acceptance.client import Caller
from tests.acceptance.conftest import customer, door, http, operator
from tests.stack_session import RunningStack, bring_up, throw_away

__all__ = ["customer", "door", "http", "operator"]

# The longest that a client waits for any answer while everything is away.
ANSWERED_WITHIN_S = 10.0


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack to break, so that nobody else's breaks."""
    home = tmp_path_factory.mktemp("outages") / "home"
    try:
        yield RunningStack.of(home, bring_up(home))
    finally:
        throw_away(home)


@pytest.fixture(scope="module")
async def caller(own_stack: RunningStack) -> AsyncIterator[Caller]:
    async with httpx.AsyncClient(base_url=own_stack.api_url, timeout=ANSWERED_WITHIN_S) as http:
        yield Caller(http, own_stack, "ada", "orders:write", "operator")
