"""What every tier of tests may ask for."""

from collections.abc import AsyncIterator

import pytest

from tests.shop import Shop, open_shop
from tests.stack_session import RunningStack, stack

__all__ = ["shop", "stack"]


@pytest.fixture(scope="session")
async def shop(stack: RunningStack) -> AsyncIterator[Shop]:
    """Places orders on the session's stack without going through the API."""
    async with open_shop(stack) as opened:
        yield opened
