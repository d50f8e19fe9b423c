"""Parts that are started by hand join the stack of a home, or whatever the environment names instead."""

import asyncio
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from stack.home import Home
from stack.temporal_server import has_poller
from tests.integration.stack.conftest import eventually
from tests.stack_session import FOLLOWTHROUGH, clean_environment, followthrough, status


async def test_migrate_registers_namespace_and_search_attributes_and_can_be_repeated(running_home: Path) -> None:
    assert followthrough("migrate", "--home", str(running_home)).returncode == 0

    there = status(running_home)
    client = await Client.connect(there["temporal_address"], namespace=there["temporal_namespace"])
    namespace = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="followthrough"))
    attributes = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace="followthrough")
    )
    assert namespace.config.workflow_execution_retention_ttl.ToTimedelta().total_seconds() == 72 * 3_600
    assert dict(attributes.custom_attributes).items() >= {
        ("CustomerId", IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD),
        ("OrderStatus", IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD),
        ("OrderTotal", IndexedValueType.INDEXED_VALUE_TYPE_INT),
    }


def test_a_worker_started_by_hand_joins(running_home: Path, tmp_path: Path) -> None:
    state = Home(running_home).state()
    began = datetime.now(UTC)
    with (
        (tmp_path / "worker.log").open("wb") as log,
        subprocess.Popen(
            [*FOLLOWTHROUGH, "worker", "--home", str(running_home)],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        ) as worker,
    ):
        try:
            eventually(lambda: _polls(state.temporal_http_url, began))
        finally:
            worker.terminate()


def test_a_variable_that_is_set_wins_over_the_home(running_home: Path) -> None:
    failed = followthrough("migrate", "--home", str(running_home), DATABASE_URL="postgresql://a:b@127.0.0.1:1/c")

    assert failed.returncode == 1
    assert "the database cannot be migrated" in failed.stderr
    assert "what to do: check that it runs, that DATABASE_URL is right" in failed.stderr


def test_without_a_home_what_is_missing_is_named(home: Path) -> None:
    failed = followthrough("worker", "--home", str(home))

    assert failed.returncode == 1
    assert "payments_api_key: Field required" in failed.stderr
    assert not home.exists()
    assert os.listdir(home.parent) == []


def _polls(http_url: str | None, since: datetime) -> bool:
    return asyncio.run(has_poller(str(http_url), "followthrough", "orders", since))
