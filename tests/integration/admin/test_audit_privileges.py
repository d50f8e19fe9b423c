"""The audit log only grows: the API and the worker lack the privileges for anything else."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import text

from database.migrate import APP_ROLE, upgrade
from stack.home import Home
from tests.shop import Shop
from tests.stack_session import RunningStack

ENTRIES = "SELECT count(*) FROM followthrough.audit_log"
ADD = """
    INSERT INTO followthrough.audit_log (id, actor, action, subject, note, request_id)
    VALUES ('aud_test', 'nobody', 'test', 'test', '', '')
"""


@pytest.fixture
async def app(stack: RunningStack) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection with the rights of the API and the worker, and nothing of it is kept."""
    connection = await asyncpg.connect(Home(stack.home).state().app_database_url)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


async def test_the_api_and_the_worker_connect_as_a_role_that_owns_nothing(
    shop: Shop, app: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    logins = """
        SELECT application_name, usename FROM pg_stat_activity
        WHERE application_name LIKE 'followthrough %' AND application_name NOT IN ('followthrough tests')
    """
    async with shop.engine.connect() as connection:
        found = {row.application_name: row.usename for row in await connection.execute(text(logins))}
    assert {"followthrough api", "followthrough worker", "followthrough outbox"} <= found.keys()
    assert set(found.values()) == {APP_ROLE}
    assert await app.fetchval("SELECT current_user") == APP_ROLE
    owned = "SELECT count(*) FROM pg_class JOIN pg_roles ON relowner = pg_roles.oid WHERE rolname = $1"
    assert await app.fetchval(owned, APP_ROLE) == 0
    rights = "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls FROM pg_roles WHERE rolname = $1"
    assert await app.fetchval(rights, APP_ROLE) is False
    assert await app.fetchval("SELECT pg_has_role($1, 'followthrough', 'MEMBER')", APP_ROLE) is False


async def test_they_may_add_entries_and_read_them(app: "asyncpg.Connection[asyncpg.Record]") -> None:
    before = await app.fetchval(ENTRIES)

    await app.execute(ADD)

    assert await app.fetchval(ENTRIES) == before + 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE followthrough.audit_log SET note = 'x'",
        "DELETE FROM followthrough.audit_log",
        "TRUNCATE followthrough.audit_log",
        "DROP TABLE followthrough.audit_log",
        "ALTER TABLE followthrough.audit_log DISABLE TRIGGER ALL",
        "DROP TRIGGER audit_log_keep ON followthrough.audit_log",
        "ALTER TABLE followthrough.audit_log RENAME TO forgotten",
        "CREATE OR REPLACE FUNCTION followthrough.refuse_change() RETURNS trigger LANGUAGE sql AS 'SELECT NULL'",
        "DROP FUNCTION followthrough.refuse_change() CASCADE",
        "CREATE RULE hide AS ON INSERT TO followthrough.audit_log DO INSTEAD NOTHING",
        "SET session_replication_role = replica",
        "SET ROLE followthrough",
    ],
)
async def test_they_may_do_nothing_else_to_it(app: "asyncpg.Connection[asyncpg.Record]", statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.execute(statement)


@pytest.mark.parametrize("grant", ["UPDATE", "DELETE", "TRUNCATE", "ALL"])
async def test_they_cannot_grant_themselves_more(app: "asyncpg.Connection[asyncpg.Record]", grant: str) -> None:
    try:
        # Postgres warns where some of it may be granted, and grants none of it.
        await app.execute(f"GRANT {grant} ON followthrough.audit_log TO {APP_ROLE}")
    except asyncpg.InsufficientPrivilegeError:
        return
    for refused in ("UPDATE", "DELETE", "TRUNCATE"):
        assert await app.fetchval("SELECT has_table_privilege('followthrough.audit_log', $1)", refused) is False


async def test_migrating_again_gives_nothing_back(stack: RunningStack) -> None:
    """Every table is granted anew by each migration, this one a little less."""
    await asyncio.to_thread(upgrade, stack.database_url)
    granted = """
        SELECT string_agg(privilege_type, ',' ORDER BY privilege_type)
        FROM information_schema.role_table_grants
        WHERE table_schema = 'followthrough' AND table_name = $1 AND grantee = $2
    """
    connection = await asyncpg.connect(stack.database_url)
    try:
        for table, allowed in (("audit_log", "INSERT,SELECT"), ("orders", "DELETE,INSERT,SELECT,UPDATE")):
            assert await connection.fetchval(granted, table, APP_ROLE) == allowed
    finally:
        await connection.close()
