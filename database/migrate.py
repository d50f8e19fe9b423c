"""Brings the schema up to date."""

import asyncio
from importlib.resources import files

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.schema import CreateSchema

from database.engine import create_engine
from database.tables import SCHEMA

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
            app = text("SELECT 1 FROM pg_roles WHERE rolname = :role AND rolname <> current_user")
            if await connection.scalar(app, {"role": APP_ROLE}):
                for grant in _GRANTS:
                    await connection.execute(text(grant))
    finally:
        await engine.dispose()


def _run_migrations(connection: Connection) -> None:
    config = Config(str(files("database") / "alembic.ini"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
