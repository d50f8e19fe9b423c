"""Programs that run once and end, such as initdb: with a log of their own, and never left behind."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from stack.unprivileged import RunAs


async def run_to_end(
    command: Sequence[str | Path], *, environment: Mapping[str, str], folder: Path, log: Path, user: RunAs | None = None
) -> int:
    """Run a program and return its exit code. It is killed when whoever waits for it is cancelled."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
            user=None if user is None else user.uid,
            group=None if user is None else user.gid,
            extra_groups=None if user is None else [],
        )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
