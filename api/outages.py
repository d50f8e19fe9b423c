"""Tells an outage of Postgres or Temporal from a bug, and bounds how long either is waited for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import structlog
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from temporalio.client import RPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from payloads import PayloadUnreadable

# A statement that is given up takes SQLAlchemy up to 2 s more, to end its connection in good order.
DATABASE_WITHIN_S = 3.0
# No such table, no such column, no such schema (https://www.postgresql.org/docs/current/errcodes-appendix.html):
# `followthrough migrate` has not been run yet.
NOT_MIGRATED = ("42P01", "42703", "3F000")
# The class of data that Postgres cannot take, such as a text with NUL. SQLAlchemy knows too few of them as DataError.
BAD_DATA = "22"
# Temporal's own deadline comes first; this one is for when it does not keep it.
GRACE_S = 0.25

# What we sent was wrong, or what we asked for is not there: trying again would change nothing.
_OUR_MISTAKES = (
    RPCStatusCode.INVALID_ARGUMENT,
    RPCStatusCode.NOT_FOUND,
    RPCStatusCode.ALREADY_EXISTS,
    RPCStatusCode.UNIMPLEMENTED,
    RPCStatusCode.OUT_OF_RANGE,
)

log = structlog.get_logger()


class Unreachable(Exception):
    """The service named here did not answer, or not in time."""


def is_outage(error: BaseException) -> bool:
    """Whether this says that Postgres or Temporal is away or overwhelmed, so that trying again may help."""
    match error:
        case DBAPIError(orig=original) if getattr(original, "sqlstate", None) in NOT_MIGRATED:
            return True
        case DBAPIError(orig=original) if str(getattr(original, "sqlstate", "")).startswith(BAD_DATA):
            return False
        case DBAPIError():
            return not isinstance(error, DataError | IntegrityError | ProgrammingError)
        case asyncpg.DataError():
            return False
        case RPCError():
            return error.status not in _OUR_MISTAKES
        case RuntimeError():
            # What the SDK raises when its first connection fails.
            return "client connect" in str(error)
        case _:
            return isinstance(
                error, Unreachable | OSError | PoolTimeoutError | asyncpg.PostgresError | RPCTimeoutOrCancelledError
            )


@asynccontextmanager
async def asking_postgres() -> AsyncIterator[None]:
    """Bound what is awaited inside. Raises Unreachable for any sign of an outage."""
    async with _asking("Postgres", DATABASE_WITHIN_S):
        yield


@asynccontextmanager
async def asking_temporal(within_s: float) -> AsyncIterator[None]:
    """Bound what is awaited inside. Raises Unreachable for any sign of an outage, and for what no key here decrypts."""
    async with _asking("Temporal", within_s + GRACE_S):
        yield


@asynccontextmanager
async def _asking(service: str, within_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(within_s):
            yield
    except PayloadUnreadable as unreadable:
        log.warning("what Temporal says cannot be read", cause=str(unreadable))
        raise Unreachable(service) from unreadable
    except Exception as error:
        if is_outage(error):
            raise Unreachable(service) from error
        raise
