"""One stack without a worker: the tests bring, kill and replace the workers themselves."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import NullPool, make_url
from sqlalchemy.ext.asyncio import create_async_engine
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from database.catalogue import Catalogue
from tests.chaos.books import Auditor
from tests.chaos.figures import Figures
from tests.chaos.shop import Shop
from tests.chaos.workers import Workers
from tests.stack_session import home_without_worker, status


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with everything but a worker."""
    with home_without_worker(tmp_path_factory.mktemp("chaos") / "home") as home:
        yield home


@pytest.fixture(scope="session")
async def shop(home: Path) -> AsyncIterator[Shop]:
    async with open_shop(home) as opened:
        yield opened


@asynccontextmanager
async def open_shop(home: Path) -> AsyncIterator[Shop]:
    """A shop on the stack of this home."""
    found = status(home)
    client = await Client.connect(
        found["temporal_address"], namespace=found["temporal_namespace"], data_converter=pydantic_data_converter
    )
    # Without a pool: Postgres is killed too, and what was pooled then would fail once.
    engine = create_async_engine(
        make_url(found["database_url"]).set(drivername="postgresql+asyncpg"),
        poolclass=NullPool,
        connect_args={"server_settings": {"search_path": "followthrough"}},
    )
    async with asyncpg.create_pool(found["database_url"], min_size=1, max_size=2) as database:
        yield Shop(client, Catalogue(engine), Auditor(found["sandbox_url"], database), found["sandbox_url"])
    await engine.dispose()


@pytest.fixture
async def workers(home: Path, shop: Shop) -> AsyncIterator[Workers]:
    """Starts workers; at the test's end those that still run are killed, and the providers are well again."""
    workers = Workers(home)
    yield workers
    await workers.end()
    await shop.providers_recover()


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Figures:
    return pytestconfig.stash.setdefault(Figures.key, Figures())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(Figures.key, None)
    if found is not None:
        terminalreporter.section("chaos: figures")
        for line in found.lines():
            terminalreporter.write_line(line)
