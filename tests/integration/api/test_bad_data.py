"""What Postgres cannot take is our mistake, and no outage that a repeat would outlast."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from api.outages import is_outage
from tests.shop import Shop


@pytest.mark.parametrize(
    ("statement", "told", "sqlstate"),
    [
        ("SELECT CAST(:told AS text)", "\x00", "22021"),
        ("SELECT CAST(:told AS jsonb)", '"\\u0000"', "22P05"),
    ],
)
async def test_data_that_postgres_refuses_is_no_outage(shop: Shop, statement: str, told: str, sqlstate: str) -> None:
    async with shop.engine.connect() as connection:
        with pytest.raises(DBAPIError) as refused:
            await connection.execute(text(statement), {"told": told})

    assert getattr(refused.value.orig, "sqlstate", None) == sqlstate
    assert not is_outage(refused.value)
    # What asyncpg itself raises.
    assert not is_outage(refused.value.orig.__cause__)  # type: ignore[arg-type, union-attr]


async def test_a_statement_that_took_too_long_is_one(shop: Shop) -> None:
    async with shop.engine.connect() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 10"))
        with pytest.raises(DBAPIError) as refused:
            await connection.execute(text("SELECT pg_sleep(5)"))

    assert is_outage(refused.value)
