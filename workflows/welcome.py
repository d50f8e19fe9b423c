"""The welcome of an account: a mail with a link, reminders, and an end whether or not the link is followed."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

from activities.account_mails import AccountMailActivities
from activities.accounts import AccountActivities
from contracts import queues
from contracts.accounts import AccountStatus, Welcome
from contracts.mail import AccountMail, MailKind, MailOutcome

# docs/accounts.md gives the reason of each number.
MAIL_TRY = timedelta(seconds=30)
MAIL_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=5))
BOOKS_TRY = timedelta(seconds=5)
BOOKS_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=0.1), maximum_interval=timedelta(seconds=5))
HEARTBEAT_TIMEOUT = timedelta(seconds=2)


async def send_mail(mail: AccountMail) -> MailOutcome:
    """Send a mail, over any number of the mail server's outages."""
    return await workflow.execute_activity_method(
        AccountMailActivities.send_account_mail,
        mail,
        task_queue=queues.MAIL,
        start_to_close_timeout=MAIL_TRY,
        heartbeat_timeout=HEARTBEAT_TIMEOUT,
        retry_policy=MAIL_RETRIES,
        summary=f"{mail.kind} {mail.number}",
    )


@workflow.defn(name="Welcome")
class WelcomeWorkflow:
    """Has an account's address confirmed, or gives up on it."""

    @workflow.init
    def __init__(self, welcome: Welcome) -> None:
        self.account_id = welcome.account_id
        self.state = AccountStatus.PENDING
        self.deleted = False

    @workflow.run
    async def run(self, welcome: Welcome) -> AccountStatus | None:
        """Returns what the account ended as; None when it was deleted."""
        rules, waited_s = welcome.rules, 0
        await self.send(MailKind.WELCOME)
        for number, after_s in enumerate(rules.reminders_after_s, start=1):
            if not await self.is_over_within(after_s - waited_s):
                await self.send(MailKind.REMINDER, number)
            waited_s = after_s
        if not await self.is_over_within(rules.expires_after_s - waited_s):
            await self.expire()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return None if self.deleted else self.state

    async def is_over_within(self, seconds: int) -> bool:
        try:
            await workflow.wait_condition(
                lambda: self.is_over, timeout=timedelta(seconds=seconds), timeout_summary="waits for the confirmation"
            )
        except TimeoutError:
            return False
        return True

    @property
    def is_over(self) -> bool:
        return self.deleted or self.state is not AccountStatus.PENDING

    async def send(self, kind: MailKind, number: int = 1) -> None:
        await send_mail(AccountMail(account_id=self.account_id, kind=kind, number=number))

    async def expire(self) -> None:
        # Our tables decide the race with a confirmation; its signal may still be on its way.
        status = await workflow.execute_local_activity_method(
            AccountActivities.expire_account,
            self.account_id,
            start_to_close_timeout=BOOKS_TRY,
            retry_policy=BOOKS_RETRIES,
            summary="expire",
        )
        if status is None:
            self.deleted = True
        else:
            self.state = status

    @workflow.signal
    def confirmed(self) -> None:
        self.state = AccountStatus.CONFIRMED

    @workflow.signal
    def forget(self) -> None:
        """The account was deleted: nothing more is sent."""
        self.deleted = True

    @workflow.signal
    async def resend(self, number: int) -> None:
        """Send the link once more; `number` counts these mails."""
        await self.send(MailKind.RESEND, number)

    @workflow.query
    def status(self) -> AccountStatus:
        return self.state


@workflow.defn(name="AccountMail")
class AccountMailWorkflow:
    """Sends one mail that no other process sends."""

    @workflow.run
    async def run(self, mail: AccountMail) -> MailOutcome:
        return await send_mail(mail)
