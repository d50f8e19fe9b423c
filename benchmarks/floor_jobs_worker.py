"""The worker of bare standalone activities."""

import asyncio
import json
import sys
from datetime import timedelta

import uvloop
from temporalio import activity
from temporalio.worker import Worker

from benchmarks.running import connected

QUEUE = "floor-jobs"
HEARTBEAT_EVERY_S = 1.0
THROTTLE = timedelta(seconds=0.5)


@activity.defn(name="floor_echo")
async def echo(message: str) -> str:
    return message


@activity.defn(name="floor_sleep")
async def sleep(seconds: int) -> None:
    for _ in range(seconds):
        activity.heartbeat()
        await asyncio.sleep(HEARTBEAT_EVERY_S)


async def main() -> None:
    """Work until the caller closes our standard input; print a line when ready."""
    stack = json.loads(sys.argv[1])
    client = await connected(stack)
    async with Worker(
        client,
        task_queue=QUEUE,
        activities=[echo, sleep],
        max_heartbeat_throttle_interval=THROTTLE,
        default_heartbeat_throttle_interval=THROTTLE,
    ):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main())
