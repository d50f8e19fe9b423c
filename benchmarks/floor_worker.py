"""The floor's worker process."""

import asyncio
import json
import sys
from datetime import timedelta

import asyncpg
import httpx
import uvloop
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from benchmarks.floor_activities import SCHEMA, FloorActivities
from benchmarks.floor_workflow import FloorShipmentWorkflow, FloorWorkflow, FollowedFloorWorkflow
from benchmarks.running import connected

QUEUE = "floor"
# Where it is quickest: with 20 or 100 it does less.
TASKS_AT_ONCE = 40


async def main() -> None:
    """Work until the caller closes our standard input; print a line when ready."""
    stack = json.loads(sys.argv[1])
    pool = await asyncpg.create_pool(stack["database_url"], min_size=10, max_size=10)
    await pool.execute(SCHEMA)
    payments = httpx.AsyncClient(
        base_url=f"{stack['sandbox_url']}/payments", headers={"Authorization": "Bearer sk_test_floor"}
    )
    carrier = httpx.AsyncClient(base_url=f"{stack['sandbox_url']}/carrier", headers={"Authorization": "Bearer floor"})
    activities = FloorActivities(pool, payments, carrier)
    client = await connected(stack)
    async with (
        pool,
        payments,
        carrier,
        Worker(
            client,
            task_queue=QUEUE,
            workflows=[FloorWorkflow, FollowedFloorWorkflow, FloorShipmentWorkflow],
            activities=[activities.reserve, activities.charge, activities.ship, activities.record],
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_concurrent_workflow_tasks=TASKS_AT_ONCE,
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
        ),
    ):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main())
