"""Accounts, their welcome, and the mails to their owners."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from activities.account_mails import AccountMailActivities
from activities.account_outbox import AccountOutbox
from activities.accounts import AccountActivities
from activities.email.messages import AccountMailWriter
from contracts import queues
from contracts.accounts import WelcomeRules
from contracts.outbox import OutboxKind
from database.accounts import AccountRepository
from database.mails import MailRepository
from database.orders import OrderRepository
from hosting.mail import mailer
from hosting.process import STICKY_TIMEOUT, Hosted, Process, TaskQueue
from settings import ConfirmationSettings, MailSettings
from workflows.welcome import AccountMailWorkflow, WelcomeWorkflow

# Each has a connection of its own to the mail server.
MAILS_AT_ONCE = 10


def host_accounts(process: Process, engine: AsyncEngine) -> Hosted:
    """Poll for welcomes and mails, and begin them."""
    repository = AccountRepository(engine)
    mails = AccountMailActivities(
        mailer(), _writer(), repository, OrderRepository(engine), MailRepository(engine), process.metrics
    )
    outbox = AccountOutbox(process.client)
    return Hosted(
        task_queues=[
            TaskQueue(
                queues.ACCOUNTS,
                activities=[AccountActivities(repository).expire_account],
                workflows=[WelcomeWorkflow, AccountMailWorkflow],
                options={
                    "sticky_queue_schedule_to_start_timeout": STICKY_TIMEOUT,
                },
            ),
            TaskQueue(
                queues.MAIL,
                activities=[mails.send_account_mail],
                options={"max_concurrent_activities": MAILS_AT_ONCE},
            ),
        ],
        handlers={**outbox.handlers, OutboxKind.EVENT: outbox.order_event},
    )


def _writer() -> AccountMailWriter:
    mail = MailSettings()
    return AccountMailWriter(
        sender=mail.mail_from,
        domain=mail.mail_domain,
        confirmation_url=mail.confirmation_url,
        confirmation_secret=ConfirmationSettings().confirmation_secret.get_secret_value(),
        link_lifetime=timedelta(seconds=WelcomeRules().expires_after_s),
    )
