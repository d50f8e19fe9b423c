"""A process that is told to stop says so, and stops a while after; told twice, it stops at once."""

import asyncio
import signal
from collections.abc import Iterator

import pytest

from api.leaving import Leaving


@pytest.fixture
def stops() -> Iterator[list[int]]:
    """What reaches the server, whose handler was there before."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    yield heard
    signal.signal(signal.SIGTERM, before)


async def test_the_server_hears_of_it_after_the_drain(stops: list[int]) -> None:
    leaving = Leaving(0.01)
    with leaving.heeded():
        assert not leaving.is_told
        signal.raise_signal(signal.SIGTERM)
        assert (leaving.is_told, stops) == (True, [])
        async with asyncio.timeout(5):
            while not stops:
                await asyncio.sleep(0.01)

    signal.raise_signal(signal.SIGTERM)
    assert stops == [signal.SIGTERM] * 2


async def test_told_twice_it_waits_no_more(stops: list[int]) -> None:
    with Leaving(600).heeded():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stops == [signal.SIGTERM]


async def test_without_a_drain_nothing_stands_between(stops: list[int]) -> None:
    leaving = Leaving(0)
    with leaving.heeded():
        signal.raise_signal(signal.SIGTERM)

    assert (leaving.is_told, stops) == (False, [signal.SIGTERM])
