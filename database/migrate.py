"""Brings the schema up to date."""

import asyncio
from importlib.resources import files

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.schema import CreateSchema

from database.engine import create_engine
from database.tables import SCHEMA

# Any fixed number: whoever migrates holds this lock, so that two at once run one after the other.
_MIGRATION_LOCK = 7_061_911_453


def upgrade(database_url: str) -> None:
    """Run every migration that this database has not seen. Safe to repeat, and to run from several places at once."""
    asyncio.run(_upgrade(database_url))


async def _upgrade(database_url: str) -> None:
    engine = create_engine(database_url, connections=1, application_name="followthrough migrate")
    try:
        async with engine.begin() as connection:
            # Where there are many orders, changing them takes longer than a statement may elsewhere.
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            await connection.execute(CreateSchema(SCHEMA, if_not_exists=True))
            await connection.run_sync(_run_migrations)
    finally:
        await engine.dispose()


def _run_migrations(connection: Connection) -> None:
    config = Config(str(files("database") / "alembic.ini"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
