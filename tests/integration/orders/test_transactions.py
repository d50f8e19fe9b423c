"""Transactions on pooled connections: what one caller leaves behind never reaches the next."""

import asyncpg

from database.engine import create_engine
from database.transaction import transaction
from tests.stack_session import RunningStack


async def test_a_transaction_never_joins_one_that_was_left_open(stack: RunningStack) -> None:
    engine = create_engine(stack.database_url, connections=1, application_name="test")
    async with engine.connect() as pooled:
        left = (await pooled.get_raw_connection()).driver_connection
        assert isinstance(left, asyncpg.Connection)
        await left.execute("BEGIN")

    async with transaction(engine) as connection:
        await connection.execute("CREATE TABLE followthrough.kept (id int)")
    await engine.dispose()

    witness = await asyncpg.connect(stack.database_url)
    try:
        assert await witness.fetchval("SELECT count(*) FROM followthrough.kept") == 0
        await witness.execute("DROP TABLE followthrough.kept")
    finally:
        await witness.close()
