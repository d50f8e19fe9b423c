"""What becomes of a welcome's mails when the mail server is in trouble, or the address is. Time is skipped."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts import queues
from contracts.accounts import AccountStatus, Welcome, WelcomeRules
from contracts.ids import new_account_id, welcome_workflow_id
from database.tables import accounts
from tests.accounts import NewAccount
from tests.shop import Shop
from workflows.welcome import WelcomeWorkflow

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.mark.parametrize("behaviour", ["rate_limit", "error_before", "unavailable"])
async def test_a_mail_that_is_put_off_is_sent_again(shop: Shop, behaviour: str) -> None:
    email = f"{behaviour}-{id(shop)}@example.com"
    await shop.ledger.misbehave(email, "send", behaviour, times=2)

    account = await NewAccount.signed_up(shop, email)

    await account.until_mails("welcome")


async def test_a_mail_whose_answer_was_lost_is_repeated_as_the_same_mail(shop: Shop) -> None:
    email = f"lost-{id(shop)}@example.com"
    await shop.ledger.misbehave(email, "send", "error_after")

    account = await NewAccount.signed_up(shop, email)

    first, second = await account.until_mails("welcome", "welcome")
    assert first["message_id"] == second["message_id"]


async def test_a_mail_that_is_refused_for_good_is_not_repeated(shop: Shop) -> None:
    email = f"bounced-{id(shop)}@example.com"
    await shop.ledger.misbehave(email, "send", "decline", times=None)

    account = await NewAccount.signed_up(shop, email)
    await account.begun()
    # The next thing that it does is done, so the first mail is over.
    await account.confirm()

    assert await account.outcome() is AccountStatus.CONFIRMED
    assert await account.mails() == []
    history = (await account.history()).to_json()
    assert history.count("EVENT_TYPE_ACTIVITY_TASK_STARTED") == 1


async def test_after_a_bounce_nobody_is_reminded_and_the_account_expires(shop: Shop) -> None:
    email = f"bounces-{id(shop)}@example.com"
    await shop.ledger.misbehave(email, "send", "decline")
    account = await NewAccount.signed_up(shop, email)
    await account.begun()

    await account.skip_to_the_end()

    assert await account.outcome() is AccountStatus.EXPIRED
    assert await account.mails() == []


@pytest.mark.outage
async def test_with_mails_put_off_for_good_the_account_expires_when_the_links_do(shop: Shop) -> None:
    email = f"put-off-{id(shop)}@example.com"
    await shop.ledger.misbehave(email, "send", "unavailable", times=None)
    account = NewAccount(shop, new_account_id(), email)
    async with shop.engine.begin() as connection:
        values = {"id": account.id, "email": email, "name": "Ada", "status": "pending", "created_at": datetime.now(UTC)}
        await connection.execute(accounts.insert().values(values))
    hours = WelcomeRules(reminders_after_s=(3_600, 2 * 3_600), expires_after_s=3 * 3_600)
    await shop.client.start_workflow(
        WelcomeWorkflow.run,
        Welcome(account_id=account.id, rules=hours, signed_up_at=datetime.now(UTC)),
        id=welcome_workflow_id(account.id),
        task_queue=queues.ACCOUNTS,
    )

    await account.skip_to_the_end()

    assert await account.outcome() is AccountStatus.EXPIRED
    events = (await account.history()).events
    took = events[-1].event_time.ToDatetime() - events[0].event_time.ToDatetime()
    assert 3 * HOUR - timedelta(minutes=1) < took < 3 * HOUR + timedelta(minutes=1)
    # A welcome and two reminders, each tried until the next one was due.
    assert len([event for event in events if event.HasField("activity_task_scheduled_event_attributes")]) == 3
    assert await account.mails() == []


@pytest.mark.outage
async def test_with_the_mail_server_away_for_an_hour_every_mail_arrives_in_the_end(shop: Shop) -> None:
    emails = [f"away-{number}-{id(shop)}@example.com" for number in range(5)]
    for email in emails:
        await shop.ledger.misbehave(email, "send", "unavailable", times=None)
    waiting = [await NewAccount.signed_up(shop, email) for email in emails]
    for account in waiting:
        await account.begun()
        await account.skip(HOUR)
        assert await account.mails() == []

    await shop.ledger.behave()
    for account in waiting:
        await account.skip(timedelta(minutes=6))
        await account.until_mails("welcome")
