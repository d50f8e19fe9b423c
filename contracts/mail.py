"""Mails to the owners of accounts, as workflows know them: no address, name or text."""

from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import BaseModel


class MailKind(StrEnum):
    WELCOME = "welcome"
    REMINDER = "reminder"
    RESEND = "resend"
    ADDRESS_TAKEN = "address_taken"
    ORDER_CONFIRMATION = "order_confirmation"
    SHIPPING_NOTICE = "shipping_notice"
    ENDPOINT_DISABLED = "endpoint_disabled"


class AccountMail(BaseModel, frozen=True):
    """One logical mail to an account's owner, about an order if it has one.

    `number` tells mails of one kind apart; what is equal is the same mail.
    """

    account_id: str
    kind: MailKind
    number: int = 1
    order_id: str | None = None

    @property
    def message_key(self) -> str:
        """What its Message-ID begins with."""
        return f"{self.order_id or self.account_id}.{self.kind}.{self.number}"

    @classmethod
    def of_message(cls, message_id: str, account_id: str) -> Self:
        """The mail that had this Message-ID, and was for this account."""
        about, kind, number = message_id.removeprefix("<").partition("@")[0].split(".")
        order_id = about if about != account_id else None
        return cls(account_id=account_id, kind=MailKind(kind), number=int(number), order_id=order_id)


class MailOutcome(StrEnum):
    """What became of a logical mail.

    `unwanted` when its account was deleted, or needs it no more; `given_up` when it was put off for too long.
    """

    SENT = "sent"
    BOUNCED = "bounced"
    UNWANTED = "unwanted"
    GIVEN_UP = "given_up"


class KeptMail(BaseModel, frozen=True):
    """What is known of a logical mail; no outcome while it is sent once more. Outcomes are what `attempts` counts."""

    id: str
    about: str
    kind: str
    outcome: MailOutcome | None
    attempts: int
    at: datetime


class MailDeferred(Exception):
    """Not delivered this time; trying again may help. The text names no address."""


class MailBounced(Exception):
    """Refused for good by the recipient's server. The text names no address."""
