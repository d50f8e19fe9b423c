"""The tables come up to date from wherever they stand, with all that is in them, whoever else works there."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.dead_letters import DeadLetterFilter
from contracts.orders import OrderStatus
from database import migrate
from database.accounts import AccountRepository
from database.attention import AttentionRepository
from database.audit import AuditLog
from database.catalogue import Catalogue
from database.dead_letters import DeadLetters
from database.engine import create_engine
from database.job_batches import BatchRepository
from database.jobs import JobRepository
from database.mails import MailRepository
from database.orders import OrderFilter, OrderRepository
from database.outbox import Outbox
from database.reports import ReportRepository
from database.tables import metadata
from database.webhook_deliveries import DeliveryRepository
from database.webhook_endpoints import EndpointRepository
from tests.integration.database.rows_of_each_revision import (
    ACCOUNT,
    BATCH,
    DELIVERY,
    ENDPOINT,
    FAILED_JOB,
    JOB,
    MESSAGE,
    OPEN_ORDER,
    ORDER,
    REPORT,
    inserts,
)

REVISIONS = sorted(one.revision for one in ScriptDirectory.from_config(migrate.configuration()).walk_revisions())
NOT_BLOCKED_S = 1.0
VERSIONS = Path(migrate.__file__).parent / "migrations" / "versions"
CONCURRENT_INDEX = f"""
from alembic import op
revision, down_revision = "9000", "{REVISIONS[-1]}"
def upgrade():
    with op.get_context().autocommit_block():
        options = {{"schema": "followthrough", "postgresql_concurrently": True}}
        op.drop_index("orders_total_idx", "orders", if_exists=True, **options)
        op.create_index("orders_total_idx", "orders", ["total", "id"], **options)
"""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Rows = Mapping[str, list[dict[str, Any]]]


async def upgrade(database_url: str, to: str = migrate.HEAD) -> None:
    # It runs an event loop of its own.
    await asyncio.to_thread(migrate.upgrade, database_url, to)


async def missing(database_url: str) -> list[str]:
    return await asyncio.to_thread(migrate.missing, database_url)


async def rows(connection: Connection) -> Rows:
    """All there is, by table."""
    tables = await connection.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'followthrough' AND tablename <> 'alembic_version'"
    )
    return {
        table: [
            json.loads(row["row"])
            for row in await connection.fetch(f"SELECT to_jsonb(one) AS row FROM followthrough.{table} AS one")
        ]
        for (table,) in tables
    }


def lost(before: Rows, after: Rows) -> list[str]:
    """The rows that are gone, or have other values where they had some."""
    return [
        f"{table}: {row}"
        for table, earlier in before.items()
        for row in earlier
        if not any(all(later.get(column) == row[column] for column in row) for later in after[table])
    ]


async def fill(connection: Connection, revision: str) -> None:
    async with connection.transaction():
        for insert in inserts(revision):
            await connection.execute(insert)


@asynccontextmanager
async def application(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A pool as the API has one."""
    engine = create_engine(database_url, connections=2, application_name="followthrough tests")
    try:
        yield engine
    finally:
        await engine.dispose()


@pytest.mark.parametrize("revision", REVISIONS)
async def test_what_was_there_at_a_revision_is_there_and_read_after_it(
    database_url: str, connection: Connection, revision: str
) -> None:
    await upgrade(database_url, revision)
    await fill(connection, revision)
    before = await rows(connection)

    await upgrade(database_url)

    assert await missing(database_url) == []
    after = await rows(connection)
    assert lost(before, after) == []
    async with application(database_url) as engine:
        await orders_are_read(engine)
        if revision >= "0002":
            await accounts_are_read(engine)
        if revision >= "0004":
            await webhooks_are_read(engine)
        if revision >= "0010":
            await jobs_are_read(engine)


async def orders_are_read(engine: AsyncEngine) -> None:
    books = OrderRepository(engine)
    completed, processing = await books.find(ORDER), await books.find(OPEN_ORDER)
    assert completed is not None
    assert processing is not None
    assert [one.status.value for one in completed.order.fulfilments] == ["shipped"]
    assert [one.status.value for one in processing.order.fulfilments] == ["processing"]
    assert [entry.type.value for entry in completed.order.timeline] == ["accepted", "completed"]
    assert {step.name.value: step.fulfilment for step in completed.order.steps} == {"charge": 1, "ship": 1}
    bought = await books.list(
        OrderFilter(status=OrderStatus.COMPLETED, sku="TEE"), customer_id="ada", after=None, limit=10
    )
    assert [order.id for order in bought] == [ORDER]
    assert {item.sku for item in await Catalogue(engine).items()} == {"TEE"}


async def accounts_are_read(engine: AsyncEngine) -> None:
    account = await AccountRepository(engine).find(ACCOUNT)
    assert account is not None
    assert account.status.value == "pending"
    outcome = await MailRepository(engine).outcome(MESSAGE)
    assert outcome is not None
    assert outcome.value == "bounced"
    assert (await Outbox(engine).lag()).rows == 1
    letters, _ = await DeadLetters(engine).list(DeadLetterFilter(), after=None, limit=10)
    assert any(letter.id.startswith("mail_") for letter in letters)


async def webhooks_are_read(engine: AsyncEngine) -> None:
    endpoint = await EndpointRepository(engine).find(ENDPOINT)
    assert endpoint is not None
    deliveries = await DeliveryRepository(engine).list(ENDPOINT, after=None, limit=10)
    assert [delivery.id for delivery in deliveries] == [DELIVERY]
    [item] = await AttentionRepository(engine).list_open(kind=None, after=None, limit=10)
    assert item.order_id == ORDER


async def jobs_are_read(engine: AsyncEngine) -> None:
    jobs = JobRepository(engine)
    waiting, failed = await jobs.find(JOB), await jobs.find(FAILED_JOB)
    assert waiting is not None
    assert failed is not None
    assert failed.status.value == "failed"
    listed = await jobs.list(subject="ada", type=None, status=None, batch_id=None, after=None, limit=10)
    assert {job.id for job in listed} == {JOB, FAILED_JOB}


async def test_what_newer_tables_hold_is_read(database_url: str, connection: Connection) -> None:
    """And there is a row of every table, so that the test above leaves none out of account."""
    await upgrade(database_url)
    await fill(connection, REVISIONS[-1])

    filled = {f"followthrough.{table}" for table, found in (await rows(connection)).items() if found}

    assert set(metadata.tables) - filled == set(), "give them a row in rows_of_each_revision.py"
    async with application(database_url) as engine:
        assert await ReportRepository(engine).find(REPORT) is not None
        assert await BatchRepository(engine).find(BATCH) is not None
        [entry] = await AuditLog(engine).list(subject=FAILED_JOB, actor=None, action=None, after=None, limit=10)
        assert entry.actor == "olga"


async def test_a_migration_makes_way_for_those_who_want_the_tables(
    database_url: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "_LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr(migrate, "_PAUSES_S", (0.1, 0.1))
    # The next one changes the jobs.
    await upgrade(database_url, "0012")
    reading = connection.transaction()
    await reading.start()
    await connection.fetch("SELECT * FROM followthrough.jobs")
    migrating = asyncio.create_task(upgrade(database_url))

    other = await asyncpg.connect(database_url)
    slowest = 0.0
    while not migrating.done():
        began = asyncio.get_running_loop().time()
        await other.fetch("SELECT * FROM followthrough.jobs")
        slowest = max(slowest, asyncio.get_running_loop().time() - began)
        await asyncio.sleep(0.01)
    await other.close()

    with pytest.raises(migrate.TablesInUse, match=rf"a long report \(pid {connection.get_server_pid()}\), in a trans"):
        await migrating
    assert slowest < NOT_BLOCKED_S
    await reading.rollback()
    assert await missing(database_url) == [revision for revision in REVISIONS if revision > "0012"]
    await upgrade(database_url)
    assert await missing(database_url) == []


async def test_an_index_is_built_without_locking_writers_out_whoever_else_migrates(
    database_url: str, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "9000_index.py").write_text(CONCURRENT_INDEX)
    configuration = migrate.configuration

    def with_the_index() -> Config:
        config = configuration()
        config.set_main_option("version_locations", f"{VERSIONS}:{tmp_path}")
        return config

    monkeypatch.setattr(migrate, "configuration", with_the_index)
    await upgrade(database_url, REVISIONS[-1])
    # What an earlier try leaves that was broken off.
    await connection.execute("CREATE INDEX orders_total_idx ON followthrough.orders (total)")

    await asyncio.gather(*(upgrade(database_url) for _ in range(3)))

    definition = await connection.fetchval("SELECT pg_get_indexdef('followthrough.orders_total_idx'::regclass)")
    assert "(total, id)" in definition
    assert await connection.fetchval("SELECT version_num FROM followthrough.alembic_version") == "9000"


async def test_a_schema_that_is_ahead_of_the_code_stays_as_it_is(database_url: str, connection: Connection) -> None:
    """An older release is brought back: its `migrate` is run before it, as always."""
    await upgrade(database_url)
    await connection.execute("UPDATE followthrough.alembic_version SET version_num = '9999'")

    await upgrade(database_url)

    assert await missing(database_url) == []
    assert await connection.fetchval("SELECT version_num FROM followthrough.alembic_version") == "9999"
