"""Brings the schema up to date, and tells how far it is. docs/deployment.md says what a migration may do."""

import asyncio
from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateSchema

from database.engine import create_engine
from database.tables import SCHEMA

HEAD = "head"
# Where there is a role of this name that owns nothing, it is what the API and the worker connect as.
APP_ROLE = "followthrough_app"
# The audit log can be read and added to, and the role can neither grant itself more nor switch triggers off.
_GRANTS = (
    f"GRANT USAGE ON SCHEMA {SCHEMA} TO {APP_ROLE}",
    f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {SCHEMA} TO {APP_ROLE}",
    f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {SCHEMA} TO {APP_ROLE}",
    f"REVOKE UPDATE, DELETE ON {SCHEMA}.audit_log FROM {APP_ROLE}",
)
# Any fixed number: whoever migrates holds this lock, so that two at once run one after the other.
_MIGRATION_LOCK = 7_061_911_453
_TURN_EVERY_S = 0.2
# Whoever wants a table while a migration waits for it waits behind the migration: so it waits this long, makes way,
# and comes again after each of these pauses.
_LOCK_TIMEOUT = "2s"
_PAUSES_S = (1.0, 2.0, 4.0, 8.0)
_LOCK_NOT_AVAILABLE = "55P03"
_HOLDERS = """
    SELECT DISTINCT activity.pid, activity.usename, activity.application_name, activity.xact_start
    FROM pg_locks AS held
    JOIN pg_class AS locked ON locked.oid = held.relation
    JOIN pg_stat_activity AS activity ON activity.pid = held.pid
    WHERE locked.relnamespace = to_regnamespace(:schema) AND held.granted AND held.pid <> pg_backend_pid()
        AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY activity.xact_start
"""


class TablesInUse(Exception):
    """A transaction keeps tables that a migration has to change; the message says whose."""


def upgrade(database_url: str, to: str = HEAD) -> None:
    """Run every migration that this database has not seen, each in a transaction of its own.

    Safe to repeat, and to run from several places at once. A schema that is ahead of this code stays as it is:
    a release that is taken back finds it so. Raises TablesInUse when others don't make way within half a minute.
    """
    asyncio.run(_upgrade(database_url, to))


def missing(database_url: str) -> list[str]:
    """The revisions that `upgrade` would run, oldest first. Changes nothing."""
    return asyncio.run(_missing(database_url))


async def _upgrade(database_url: str, to: str) -> None:
    engine = create_engine(database_url, connections=1, application_name="followthrough migrate")
    try:
        async with engine.connect() as connection:
            # Where there are many orders, changing them takes longer than a statement may elsewhere.
            await connection.execute(text("SET statement_timeout = 0"))
            await _take_turn(connection)
            await connection.execute(text(f"SET lock_timeout = '{_LOCK_TIMEOUT}'"))
            await connection.execute(CreateSchema(SCHEMA, if_not_exists=True))
            await connection.commit()
            await _run_patiently(connection, to)
            if to == HEAD:
                await _grant(connection)
    finally:
        await engine.dispose()


async def _take_turn(connection: AsyncConnection) -> None:
    """Wait until nobody else migrates. The lock is the session's: it is held from the first migration to the last.

    Asked for again and again: who waits inside a statement keeps a snapshot, which an index that is built concurrently
    waits for, while it waits for the lock.
    """
    while not await connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _MIGRATION_LOCK}):
        await connection.commit()
        await asyncio.sleep(_TURN_EVERY_S)
    await connection.commit()


async def _run_patiently(connection: AsyncConnection, to: str) -> None:
    for pause_s in (*_PAUSES_S, None):
        try:
            await connection.run_sync(_run_migrations, to)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            await connection.rollback()
            if pause_s is None:
                raise TablesInUse(await _holders(connection)) from error
            await asyncio.sleep(pause_s)
        else:
            return


async def _grant(connection: AsyncConnection) -> None:
    app = text("SELECT 1 FROM pg_roles WHERE rolname = :role AND rolname <> current_user")
    # In one transaction: what is granted for all tables is never there for the audit log.
    async with connection.begin():
        if await connection.scalar(app, {"role": APP_ROLE}):
            for grant in _GRANTS:
                await connection.execute(text(grant))


async def _holders(connection: AsyncConnection) -> str:
    rows = await connection.execute(text(_HOLDERS), {"schema": SCHEMA})
    return "; ".join(
        f"{row.application_name or row.usename} (pid {row.pid})"
        + (f", in a transaction since {row.xact_start:%H:%M:%S %Z}" if row.xact_start else "")
        for row in rows
    )


async def _missing(database_url: str) -> list[str]:
    engine = create_engine(database_url, connections=1, application_name="followthrough migrate --check")
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_revisions_missing)
    finally:
        await engine.dispose()


def _run_migrations(connection: Connection, to: str) -> None:
    # Reading where it stands begins a transaction, and each migration is to have its own.
    pending = _revisions_missing(connection)
    connection.rollback()
    if pending:
        config = configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def _revisions_missing(connection: Connection) -> list[str]:
    """Nothing, too, where the schema is ahead: revisions are numbered in their order."""
    current = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA}).get_current_revision()
    known = [script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions()]
    return sorted(revision for revision in known if current is None or revision > current)


def configuration() -> Config:
    """Where Alembic finds the migrations."""
    return Config(str(files("database") / "alembic.ini"))
