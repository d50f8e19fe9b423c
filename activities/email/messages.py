"""Mails as they are written: the texts are in the templates beside this file."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from contracts.accounts import Account, AccountStatus
from contracts.confirmation import confirmation_token
from contracts.mail import AccountMail, MailKind
from contracts.orders import Order

TEMPLATES: Mapping[MailKind, str] = {
    MailKind.WELCOME: "welcome",
    MailKind.RESEND: "welcome",
    MailKind.REMINDER: "reminder",
    MailKind.ADDRESS_TAKEN: "address_taken",
    MailKind.ORDER_CONFIRMATION: "order_confirmation",
    MailKind.SHIPPING_NOTICE: "shipping_notice",
    MailKind.ENDPOINT_DISABLED: "endpoint_disabled",
}

_ENVIRONMENT = Environment(
    loader=PackageLoader("activities.email", "templates"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class AccountMailWriter:
    """Writes the mails of accounts.

    `sender` is an RFC 5322 mailbox and `domain` what Message-IDs end in; `confirmation_url` is the page that a link
    leads to, `confirmation_secret` signs its token, and `link_lifetime` is how long after the sign-up it works.
    """

    sender: str
    domain: str
    confirmation_url: str
    confirmation_secret: str
    link_lifetime: timedelta

    def message_id(self, mail: AccountMail) -> str:
        """The same for every copy of one logical mail (RFC 5322, section 3.6.4)."""
        return f"<{mail.message_key}@{self.domain}>"

    def write(self, mail: AccountMail, account: Account, order: Order | None) -> EmailMessage:
        """The mail, with the account's link and what it is about."""
        until = account.created_at + self.link_lifetime
        token = confirmation_token(account.id, until, self.confirmation_secret)
        facts: dict[str, Any] = {
            "name": account.name,
            "link": f"{self.confirmation_url}?token={token}",
            "until": f"{until:%-d %B %Y, %H:%M} UTC",
            "is_pending": account.status is AccountStatus.PENDING,
            "order": order,
            # A shipping notice is about one parcel, and has its number.
            "lines": order.fulfilment(mail.number).lines if order and mail.kind is MailKind.SHIPPING_NOTICE else (),
        }
        # The address alone: a name is anybody's text, which headers fold, and decode when it is written like RFC 2047.
        return compose(
            TEMPLATES[mail.kind], facts, message_id=self.message_id(mail), sender=self.sender, to=account.email
        )


def compose(template: str, facts: Mapping[str, Any], *, message_id: str, sender: str, to: str) -> EmailMessage:
    """A mail in text and HTML; the first line of the text's template is the subject."""
    subject, _, text = _ENVIRONMENT.get_template(f"{template}.txt").render(facts).partition("\n")
    message = EmailMessage(policy=SMTP)
    message["Message-ID"] = message_id
    message["From"] = sender
    message["To"] = to
    message["Subject"] = subject
    # No vacation notes in return, please (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text.strip() + "\n")
    html = _ENVIRONMENT.get_template(f"{template}.html").render(facts, subject=subject)
    message.add_alternative(html, subtype="html")
    return message
