"""One engine, and so one pool, per process."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import AsyncAdaptedQueuePool, event, make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


@dataclass(frozen=True)
class PoolUse:
    """How many of a pool's connections are handed out now, and how many it may have."""

    used: int
    limit: int


def create_engine(
    database_url: str, *, connections: int, application_name: str, plan_cache_mode: str = "auto"
) -> AsyncEngine:
    """A pool of at most `connections` to our books; `plan_cache_mode` is Postgres's setting of that name.

    A call waits at most 5 s for a connection, and Postgres ends any statement after 10 s and any transaction left
    open after 30 s, so that trouble in the database turns into errors and never into a pile of waiting requests.
    Errors tell the statement without its parameters, which may be addresses, names or secrets.
    """
    engine = create_async_engine(
        make_url(database_url).set(drivername="postgresql+asyncpg"),
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,
        pool_timeout=5,
        connect_args={
            "timeout": 5,
            "server_settings": {
                "application_name": application_name,
                "search_path": "followthrough",
                "statement_timeout": "10s",
                "idle_in_transaction_session_timeout": "30s",
                "plan_cache_mode": plan_cache_mode,
                # Our statements are short: compiling one takes longer than running it, and lists are compiled first.
                "jit": "off",
            },
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def pool_use(engine: AsyncEngine) -> PoolUse:
    """How much of an engine's pool is in use; any thread may ask."""
    assert isinstance(engine.pool, AsyncAdaptedQueuePool)
    return PoolUse(engine.pool.checkedout(), engine.pool.size())


def _refuse_closed(connection: Any, *_: Any) -> None:
    """Have the pool connect anew where Postgres has closed a connection that nobody was using."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError
