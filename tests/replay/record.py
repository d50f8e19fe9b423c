"""Records histories of the real thing: `python -m tests.replay.record [--afresh]`.

A shape whose commands have changed gets a further recording; the earlier ones stay, since processes with such histories
are running. `--afresh` throws all earlier recordings away: only before a first release.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.replay.histories import load, recordings, save
from tests.replay.shapes import SHAPES, asked_for, providers_are_trusted
from tests.shop import open_shop
from tests.stack_session import RunningStack, bring_up, throw_away
from tests.webhooks import allowed_hosts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--afresh", action="store_true", help="throw all earlier recordings away")
    if parser.parse_args().afresh:
        for path in recordings():
            path.unlink()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        try:
            asyncio.run(
                _record(
                    RunningStack.of(
                        home, bring_up(home, "--without", "api", FOLLOWTHROUGH_WEBHOOKS_ALLOWED_HOSTS=allowed_hosts())
                    )
                )
            )
        finally:
            throw_away(home)


async def _record(stack: RunningStack) -> None:
    async with open_shop(stack) as shop:
        for name, run in SHAPES.items():
            await providers_are_trusted(shop)
            followed = await run(shop)
            await followed.outcome()
            history = await followed.history()
            known = recordings(name)
            if known and asked_for(name, load(known[-1])) == asked_for(name, history):
                sys.stdout.write(f"{name}: as in {known[-1].name}\n")
            else:
                sys.stdout.write(f"{name}: recorded in {save(name, history).name}\n")


if __name__ == "__main__":
    main()
