"""What runs today asks for just what the newest recording of its shape holds."""

import asyncio

import pytest

from tests.replay.histories import load, recordings
from tests.replay.shapes import SHAPES, asked_for, providers_are_trusted
from tests.shop import WITHIN_S, Shop

# A busy machine may keep a provider from answering within a local try; that order takes another path.
RUNS = 3

ADVICE = """
{shape}: the workflow's commands have changed. Orders that run now were started with the old ones, so

  1. keep the old way beside the new one:   if workflow.patched("what-changed"): ... else: ...
  2. record the new way:                    python -m tests.replay.record
  3. commit the new recordings beside the old ones.

docs/deployment.md#changing-a-workflow has an example, and says when the old way may go.

(Before a first release there are no such orders: python -m tests.replay.record --afresh.)
"""


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_commands_are_those_that_were_recorded(shop: Shop, shape: str) -> None:
    expected = asked_for(shape, load(recordings(shape)[-1]))
    found: list[str] = []

    async with asyncio.timeout(RUNS * WITHIN_S):
        for _ in range(RUNS):
            await providers_are_trusted(shop)
            followed = await SHAPES[shape](shop)
            await followed.outcome()
            found = asked_for(shape, await followed.history())
            if found == expected:
                break

    assert found == expected, ADVICE.format(shape=shape)
