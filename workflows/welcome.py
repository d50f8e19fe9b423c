"""The welcome of an account: a mail with a link, reminders, and an end whether or not the link is followed."""

import math
from datetime import datetime, timedelta
from itertools import pairwise

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, RetryState

from activities.account_mails import AccountMailActivities
from activities.accounts import AccountActivities
from contracts import queues
from contracts.accounts import AccountStatus, Welcome
from contracts.mail import AccountMail, MailKind, MailOutcome
from workflows.calls import HEARTBEAT_TIMEOUT, book

# docs/accounts.md gives the reason of each number.
MAIL_TRY = timedelta(seconds=30)
# RFC 5321, section 4.5.4.1: 4 to 5 days at least.
MAIL_WITHIN = timedelta(days=5)
MAIL_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=5))


async def send_mail(mail: AccountMail, within: timedelta) -> MailOutcome:
    """Send a mail, over the mail server's outages within this time."""
    try:
        return await workflow.execute_activity_method(
            AccountMailActivities.send_account_mail,
            mail,
            task_queue=queues.MAIL,
            start_to_close_timeout=MAIL_TRY,
            schedule_to_close_timeout=max(within, MAIL_TRY),
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=MAIL_RETRIES,
            summary=f"{mail.kind} {mail.number}",
        )
    except ActivityError as error:
        if error.retry_state is not RetryState.TIMEOUT:
            raise
        return MailOutcome.GIVEN_UP


@workflow.defn(name="Welcome")
class WelcomeWorkflow:
    """Has an account's address confirmed, or gives up on it."""

    @workflow.init
    def __init__(self, welcome: Welcome) -> None:
        self.account_id = welcome.account_id
        self.state = AccountStatus.PENDING
        self.deleted = False
        since, rules = welcome.signed_up_at or workflow.info().start_time, welcome.rules
        # When each reminder is due, and the end.
        self.due_at = [since + timedelta(seconds=s) for s in (*rules.reminders_after_s, rules.expires_after_s)]
        # Welcomes of earlier versions remind all the same, and their histories say so.
        self.stops_at_bounce = welcome.signed_up_at is not None

    @workflow.run
    async def run(self, welcome: Welcome) -> AccountStatus | None:
        """Returns what the account ended as; None when it was deleted."""
        outcome = await self.send(MailKind.WELCOME, until=self.due_at[0])
        for number, (due, next_due) in enumerate(pairwise(self.due_at), start=1):
            if outcome is MailOutcome.BOUNCED and self.stops_at_bounce:
                break
            if not await self.is_over_by(due):
                outcome = await self.send(MailKind.REMINDER, number, until=next_due)
        if not await self.is_over_by(self.due_at[-1]):
            await self.expire()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return None if self.deleted else self.state

    async def is_over_by(self, due: datetime) -> bool:
        """Wait until it is over, or it is that time; at least a second, so that there is a timer in every history."""
        wait_s = max(1, math.ceil((due - workflow.now()).total_seconds()))
        try:
            await workflow.wait_condition(
                lambda: self.is_over, timeout=timedelta(seconds=wait_s), timeout_summary="waits for the confirmation"
            )
        except TimeoutError:
            return False
        return True

    @property
    def is_over(self) -> bool:
        return self.deleted or self.state is not AccountStatus.PENDING

    async def send(self, kind: MailKind, number: int = 1, *, until: datetime) -> MailOutcome:
        """Send a mail, trying until the next one is due, which then takes its place."""
        mail = AccountMail(account_id=self.account_id, kind=kind, number=number)
        return await send_mail(mail, within=until - workflow.now())

    async def expire(self) -> None:
        # Our tables decide the race with a confirmation; its signal may still be on its way.
        status = await book(AccountActivities.expire_account, self.account_id, what="expire")
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
        await self.send(MailKind.RESEND, number, until=self.due_at[-1])

    @workflow.query
    def status(self) -> AccountStatus:
        return self.state


@workflow.defn(name="AccountMail")
class AccountMailWorkflow:
    """Sends one mail that no other process sends."""

    @workflow.run
    async def run(self, mail: AccountMail) -> MailOutcome:
        return await send_mail(mail, within=MAIL_WITHIN)
