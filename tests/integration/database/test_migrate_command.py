"""`followthrough migrate`, several at once, and `migrate --check`, which only looks."""

import asyncio
import subprocess
from uuid import uuid4

import asyncpg
import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from tests.stack_session import RunningStack, followthrough

AT_ONCE = 3
REVISIONS = "0001, 0002, "
SCHEDULES = {"cleanup-expired", "daily-digest", "reconcile-payments", "stuck-orders", "webhook-health"}

Done = subprocess.CompletedProcess[str]


async def migrate(stack: RunningStack, *options: str, **variables: str) -> Done:
    return await asyncio.to_thread(followthrough, "migrate", "--home", str(stack.home), *options, **variables)


async def until_known(client: Client) -> None:
    """A new namespace reaches the parts of Temporal one after the other."""
    async with asyncio.timeout(10):
        while True:
            try:
                await client.count_workflows()
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                await asyncio.sleep(0.1)
            else:
                return


async def test_it_says_what_is_missing_and_several_at_once_mend_it(
    stack: RunningStack, database_url: str, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    namespace = f"fresh-{uuid4().hex[:8]}"
    there = {"DATABASE_URL": database_url, "TEMPORAL_NAMESPACE": namespace}
    client = await Client.connect(stack.temporal_address, namespace=namespace)

    nothing_there = await migrate(stack, "--check", **there)

    assert nothing_there.returncode == 1
    assert f"the tables lack revision {REVISIONS}" in nothing_there.stderr
    assert f"Temporal has no namespace {namespace}" in nothing_there.stderr
    assert "run `followthrough migrate`" in nothing_there.stderr
    assert await connection.fetchval("SELECT to_regnamespace('followthrough')") is None
    with pytest.raises(RPCError, match="not found"):
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))

    await client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=Duration(seconds=86_400))
    )
    await until_known(client)

    bare = await migrate(stack, "--check", **there)

    assert bare.returncode == 1
    assert f"the namespace {namespace} lacks the search attribute CustomerId" in bare.stderr
    assert all(f"there is no schedule {name}" in bare.stderr for name in SCHEDULES)

    done = await asyncio.gather(*(migrate(stack, **there) for _ in range(AT_ONCE)))

    assert [one.stderr for one in done if one.returncode] == []
    printed = sorted(line for one in done for line in one.stdout.splitlines())
    assert [line.partition(":")[0] for line in printed] == [f"created schedule {name}" for name in sorted(SCHEDULES)]
    assert await connection.fetchval("SELECT count(*) FROM followthrough.alembic_version") == 1
    whole = await migrate(stack, "--check", **there)
    assert (whole.returncode, whole.stdout, whole.stderr) == (0, "", "")
