"""Breaks parts of a stack, and waits until they are well again."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.acceptance.client import POLL_S, WITHIN_S, Caller
from tests.stack_session import RunningStack


@contextmanager
def frozen(stack: RunningStack, *names: str) -> Iterator[None]:
    """Stop these processes of the stack where they are, children included, and let them go on afterwards."""
    processes = [process for name in names for process in family(stack, name)]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            if process.is_running():
                process.send_signal(signal.SIGCONT)


def family(stack: RunningStack, name: str) -> list[psutil.Process]:
    process = psutil.Process(stack.status()["processes"][name]["pid"])
    return [process, *process.children(recursive=True)]


async def readiness(caller: Caller) -> tuple[int, dict[str, str]]:
    answer = await caller.http.get("/readyz")
    return answer.status_code, answer.json()["checks"]


async def until_ready(caller: Caller) -> None:
    async with asyncio.timeout(WITHIN_S):
        while (await readiness(caller))[0] != 200:
            await asyncio.sleep(POLL_S)
