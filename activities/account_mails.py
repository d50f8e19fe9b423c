"""Mails to the owners of accounts."""

from typing import TYPE_CHECKING

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.metrics import UNSEEN, WorkerMetrics
from contracts.accounts import Account, AccountStatus
from contracts.mail import AccountMail, MailBounced, MailDeferred, MailKind, MailOutcome
from contracts.orders import Order, OrderStatus

# Workflows import this module for its signatures; what it needs to run stays out of them.
if TYPE_CHECKING:
    from email.message import EmailMessage

    from activities.email.messages import AccountMailWriter
    from database.accounts import AccountRepository
    from database.mails import MailRepository
    from database.orders import OrderRepository
    from providers.email import Mailer

log = structlog.get_logger()


class AccountMailActivities:
    """Sends each logical mail once: a repeat is the very same mail, by its Message-ID."""

    def __init__(
        self,
        mailer: "Mailer",
        writer: "AccountMailWriter",
        accounts: "AccountRepository",
        orders: "OrderRepository",
        mails: "MailRepository",
        metrics: WorkerMetrics = UNSEEN,
    ) -> None:
        self.mailer = mailer
        self.writer = writer
        self.accounts = accounts
        self.orders = orders
        self.mails = mails
        self.metrics = metrics

    @activity.defn
    async def send_account_mail(self, mail: AccountMail) -> MailOutcome:
        """Send a mail to an account's owner, unless the account is gone or what the mail asks for was done.

        A mail that its server refuses for good is recorded as bounced. Raises mail_deferred and mail_not_written, which
        are retried.
        """
        message_id = self.writer.message_id(mail)
        known = await self.mails.outcome(message_id)
        if known is not None:
            return known
        account = await self.accounts.find(mail.account_id)
        booked = await self.orders.find(mail.order_id) if mail.order_id is not None else None
        order = booked.order if booked else None
        if account is None or not _is_wanted(mail, account, order):
            return MailOutcome.UNWANTED
        try:
            await self.mailer.send(self._written(mail, account, order))
            outcome = MailOutcome.SENT
        except MailBounced as bounced:
            log.warning("mail bounced", kind=mail.kind, reason=str(bounced))
            outcome = MailOutcome.BOUNCED
        except MailDeferred as deferred:
            self.metrics.mail("deferred")
            raise ApplicationError(
                str(deferred), type="mail_deferred", category=ApplicationErrorCategory.BENIGN
            ) from None
        await self.mails.record(message_id, outcome)
        self.metrics.mail(outcome)
        return outcome

    def _written(self, mail: AccountMail, account: Account, order: Order | None) -> "EmailMessage":
        try:
            message = self.writer.write(mail, account, order)
            # Headers are written, and may be found wrong, no earlier than this.
            message.as_bytes()
            return message
        except Exception as error:
            # A bug of ours, which a deploy can mend. Its text may quote name and address, and would be in histories.
            raise ApplicationError(
                f"the mail cannot be written ({type(error).__name__})", type="mail_not_written"
            ) from None


def _is_wanted(mail: AccountMail, account: Account, order: Order | None) -> bool:
    """Whether there is still a reason for it: an address is confirmed once, and an order may have been undone."""
    match mail.kind:
        case MailKind.WELCOME | MailKind.REMINDER | MailKind.RESEND:
            return account.status is AccountStatus.PENDING
        case MailKind.ORDER_CONFIRMATION | MailKind.SHIPPING_NOTICE:
            return order is not None and order.status not in (OrderStatus.REJECTED, OrderStatus.CANCELLED)
        case MailKind.ADDRESS_TAKEN | MailKind.ENDPOINT_DISABLED:
            return True
