"""Signing up in our books: beside a deletion, and what errors tell."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

from contracts.ids import new_account_id
from database.accounts import AccountRepository, SignUp
from database.engine import create_engine
from database.tables import outbox
from tests.accounts import NewAccount, kinds_of, new_address
from tests.shop import Shop
from tests.stack_session import RunningStack


async def test_a_sign_up_whose_address_becomes_free_meanwhile_is_a_fresh_one(shop: Shop, stack: RunningStack) -> None:
    first = await NewAccount.signed_up(shop)
    await first.until_mails("welcome")
    engine = create_engine(stack.database_url, connections=1, application_name="test")
    deletions: list[bool] = []

    def delete_the_owner(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        # Between the INSERT, which finds the address taken, and the look at whose it is.
        if "FOR SHARE" in statement and not deletions:
            deletions.append(await_only(first.repository.delete(first.id)))

    event.listen(engine.sync_engine, "before_cursor_execute", delete_the_owner)
    second = NewAccount(shop, new_account_id(), first.email)
    try:
        await AccountRepository(engine).sign_up(
            SignUp(second.id, second.email, "Ada", datetime.now(UTC), key_hash=None, request_hash="0" * 64)
        )
    finally:
        await engine.dispose()

    assert deletions == [True]
    assert await second.repository.find(second.id) is not None
    mails = await second.until_mails("welcome", "welcome")
    assert kinds_of(mails) == ["welcome", "welcome"]
    async with shop.engine.connect() as connection:
        assert not (await connection.execute(select(outbox).where(outbox.c.aggregate == "account/None"))).all()


async def test_an_error_of_the_database_quotes_neither_address_nor_name(stack: RunningStack) -> None:
    engine = create_engine(stack.database_url, connections=1, application_name="test")
    too_long = new_account_id() * 2
    try:
        with pytest.raises(DBAPIError) as raised:
            await AccountRepository(engine).sign_up(
                SignUp(too_long, "ada@example.com", "Lovelace", datetime.now(UTC), key_hash=None, request_hash="0" * 64)
            )
    finally:
        await engine.dispose()

    assert "INSERT INTO" in str(raised.value)
    for secret in ("ada@", "Lovelace", too_long):
        assert secret not in str(raised.value)


async def test_a_taken_address_takes_the_same_statements_as_a_fresh_one(shop: Shop, stack: RunningStack) -> None:
    owner = await NewAccount.signed_up(shop)
    engine = create_engine(stack.database_url, connections=1, application_name="test")
    statements: list[str] = []

    def seen(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    async def asked_for(email: str) -> list[str]:
        statements.clear()
        await AccountRepository(engine).sign_up(
            SignUp(new_account_id(), email, "Ada", datetime.now(UTC), key_hash=uuid4().hex, request_hash="0" * 64)
        )
        return list(statements)

    try:
        await asked_for(new_address())  # the first one opens the connection
        event.listen(engine.sync_engine, "before_cursor_execute", seen)
        fresh, taken = await asked_for(new_address()), await asked_for(owner.email)
    finally:
        await engine.dispose()

    assert len(fresh) == 4
    assert taken == fresh
