"""Databases of their own in the session's Postgres."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from stack.home import Home
from stack.postgres import DATABASE_ROLE, administrative_url
from tests.stack_session import RunningStack


@pytest.fixture
async def database_url(stack: RunningStack) -> AsyncIterator[str]:
    """An empty database, gone after the test. Its owner is the role that the application has."""
    home = Home(stack.home)
    name = f"fresh_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(administrative_url(home.secrets(), home.state().ports["postgres"]))
    try:
        await admin.execute(f"CREATE DATABASE {name} OWNER {DATABASE_ROLE}")
        yield urlunsplit(urlsplit(stack.database_url)._replace(path=f"/{name}"))
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    opened = await asyncpg.connect(database_url, server_settings={"application_name": "a long report"})
    yield opened
    await opened.close()
