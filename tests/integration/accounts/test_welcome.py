"""The welcome of an account: what is mailed when, and how it ends. Days are skipped on the real server."""

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.testing import TimeSkipper

from contracts.accounts import AccountStatus
from database.accounts import ResentLately
from database.tables import accounts
from tests.accounts import NewAccount, kinds_of, token_in
from tests.histories import history_of
from tests.shop import WITHIN_S, Shop

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


async def test_a_sign_up_is_welcomed_once(shop: Shop) -> None:
    account = await NewAccount.signed_up(shop)

    [mail] = await account.until_mails("welcome")

    assert mail["to"] == account.email
    assert "Ada Lovelace" in mail["text"]
    assert "Ada Lovelace" in mail["html"]
    assert token_in(mail)


async def test_a_confirmation_ends_the_welcome_without_further_mail(shop: Shop) -> None:
    account = await NewAccount.signed_up(shop)
    await account.until_mails("welcome")

    await account.confirm()

    assert await account.outcome() is AccountStatus.CONFIRMED
    assert kinds_of(await account.mails()) == ["welcome"]


async def test_reminders_come_after_one_day_and_three_and_the_account_expires_after_seven(shop: Shop) -> None:
    account = await NewAccount.signed_up(shop)
    await account.until_mails("welcome")

    await account.skip(DAY - HOUR)
    assert kinds_of(await account.mails()) == ["welcome"]
    await account.skip(2 * HOUR)
    await account.until_mails("welcome", "reminder")
    await account.skip(2 * DAY)
    mails = await account.until_mails("welcome", "reminder", "reminder")
    assert len({mail["message_id"] for mail in mails}) == 3
    assert await account.handle.query("status") == AccountStatus.PENDING
    async with asyncio.timeout(WITHIN_S):
        await TimeSkipper(shop.client).fast_forward(account.handle, 4 * DAY)

    assert await account.outcome() is AccountStatus.EXPIRED
    kept = await account.repository.find(account.id)
    assert kept is not None
    assert kept.status is AccountStatus.EXPIRED
    assert len(await account.mails()) == 3


async def test_a_confirmation_after_a_reminder_counts(shop: Shop) -> None:
    account = await NewAccount.signed_up(shop)
    await account.until_mails("welcome")
    await account.skip(DAY + HOUR)
    await account.until_mails("welcome", "reminder")

    await account.confirm()

    assert await account.outcome() is AccountStatus.CONFIRMED


async def test_a_resent_link_is_a_mail_of_its_own(shop: Shop) -> None:
    account = await NewAccount.signed_up(shop)
    await account.until_mails("welcome")

    assert await account.repository.resend(account.id)

    first, second = await account.until_mails("welcome", "resend")
    assert token_in(first) == token_in(second)
    assert first["subject"] == second["subject"]


async def test_a_link_is_resent_again_after_sixty_seconds(shop: Shop) -> None:
    account = await NewAccount.signed_up(shop)
    await account.until_mails("welcome")
    assert await account.repository.resend(account.id)

    async def resent(seconds_ago: int) -> None:
        async with shop.engine.begin() as connection:
            at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
            await connection.execute(accounts.update().where(accounts.c.id == account.id).values(resent_at=at))

    await resent(seconds_ago=50)
    with pytest.raises(ResentLately):
        await account.repository.resend(account.id)
    await resent(seconds_ago=61)
    assert await account.repository.resend(account.id)

    mails = await account.until_mails("welcome", "resend", "resend")
    assert len({mail["message_id"] for mail in mails}) == 3


async def test_whichever_of_confirmation_and_expiry_comes_first_counts_everywhere(shop: Shop) -> None:
    for _ in range(10):
        account = await NewAccount.signed_up(shop)
        await account.until_mails("welcome")

        await asyncio.gather(account.skip_to_the_end(), account.confirm())

        outcome = await account.outcome()
        kept = await account.repository.find(account.id)
        assert kept is not None
        assert kept.status is outcome
        assert outcome in (AccountStatus.CONFIRMED, AccountStatus.EXPIRED)


async def test_a_deleted_account_gets_no_further_mail(shop: Shop) -> None:
    account = await NewAccount.signed_up(shop)
    await account.until_mails("welcome")

    assert await account.repository.delete(account.id)

    assert await account.outcome() is None
    assert kinds_of(await account.mails()) == ["welcome"]


async def test_a_pending_owner_who_signs_up_again_gets_the_link(shop: Shop) -> None:
    account = await NewAccount.signed_up(shop)
    await account.until_mails("welcome")
    await NewAccount.signed_up(shop, account.email)

    welcome, taken = await account.until_mails("welcome", "address_taken")

    assert token_in(taken) == token_in(welcome)


async def test_a_confirmed_owner_gets_no_link_when_somebody_signs_up_again(shop: Shop) -> None:
    account = await NewAccount.signed_up(shop)
    await account.until_mails("welcome")
    await account.confirm()
    await NewAccount.signed_up(shop, account.email)

    *_, taken = await account.until_mails("welcome", "address_taken")

    assert "token=" not in taken["text"] + taken["html"]


async def test_no_history_holds_an_address_a_name_or_a_text(shop: Shop) -> None:
    account = await NewAccount.signed_up(shop)
    await shop.ledger.misbehave(account.email, "send", "rate_limit")
    await account.until_mails("welcome")
    again = await NewAccount.signed_up(shop, account.email)
    await account.until_mails("welcome", "address_taken")
    await account.confirm()
    await account.outcome()

    taken = shop.client.list_workflows(f"WorkflowId STARTS_WITH 'mail/{account.id}'")
    handles = [account.handle, *[shop.client.get_workflow_handle(found.id) async for found in taken]]
    histories = [(await history_of(shop.client, handle)).to_json() for handle in handles]
    assert len(histories) == 2
    for words in (account.email, account.email.split("@")[0], "Lovelace", "signing up", "token="):
        assert not [history for history in histories if words in _decoded(history)], words
    assert again.id not in "".join(histories)


def _decoded(history: str) -> str:
    """The history with its payloads readable."""

    def readable(value: object) -> object:
        match value:
            case {"data": str(data), "metadata": dict(), **rest}:
                return {"data": base64.b64decode(data).decode(), **rest}
            case dict():
                return {name: readable(member) for name, member in value.items()}
            case list():
                return [readable(member) for member in value]
            case _:
                return value

    return json.dumps(readable(json.loads(history)), ensure_ascii=False)
