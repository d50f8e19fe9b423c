"""Mails as they are on the wire, whatever people call themselves."""

import email
import email.policy
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import pytest
from aiosmtplib.email import extract_recipients, flatten_message
from pydantic import ValidationError
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.account_mails import AccountMailActivities
from activities.email.messages import AccountMailWriter
from api.bodies import SignUpBody
from contracts.accounts import Account, AccountStatus
from contracts.ids import new_account_id
from contracts.mail import AccountMail, MailKind, MailOutcome
from contracts.orders import Order
from database.accounts import AccountRepository
from database.engine import create_engine
from database.mails import MailRepository
from database.orders import OrderRepository
from providers.email import Mailer, SmtpServer

HEADERS = ["Message-ID", "From", "To", "Subject", "Auto-Submitted", "Content-Type", "MIME-Version"]


def account(name: str = "Ada", status: AccountStatus = AccountStatus.PENDING) -> Account:
    return Account(
        id=new_account_id(),
        email="ada@example.com",
        name=name,
        status=status,
        created_at=datetime(2026, 3, 1, tzinfo=UTC),
    )


def writer() -> AccountMailWriter:
    return AccountMailWriter(
        sender="Shop <us@example.com>",
        domain="example.com",
        confirmation_url="https://example.com/confirm",
        confirmation_secret="0" * 32,
        link_lifetime=timedelta(days=7),
    )


@pytest.mark.parametrize(
    "name",
    [
        "=?utf-8?q?Ada=0D=0ABcc:_eve@evil.example?=",
        "=?utf-8?q?A=0D=0AContent-Type:text/html=0D=0A=0D=0A<a_href=3Dhttps://evil.example/>win</a>?=",
        f"{'x' * 78} {'y' * 100}",
        "Ada, eve@evil.example",
        "Ada <eve@evil.example>",
        "Åda Løvelace 💌",
    ],
)
def test_no_name_reaches_a_header(name: str) -> None:
    somebody = account(SignUpBody(email="ada@example.com", name=name).name)
    mail = AccountMail(account_id=somebody.id, kind=MailKind.WELCOME)

    written = flatten_message(writer().write(mail, somebody, None))

    read = email.message_from_bytes(written, policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    assert sorted(read.keys()) == sorted(HEADERS)
    assert read["To"] == "ada@example.com"
    assert read.get_content_type() == "multipart/alternative"
    text = read.get_body(["plain"])
    assert text is not None
    assert f"Hello {name}," in text.get_content()
    assert not read.defects


@pytest.mark.parametrize("local_part", ["=?utf-8?q?bob?=", "x=?utf-8?q?bob?="])
def test_an_address_that_a_header_would_turn_into_another_one_is_refused(local_part: str) -> None:
    assert extract_recipients(_to(f"{'=?utf-8?q?bob?='}@example.com")) == ["bob@example.com"]

    with pytest.raises(ValidationError, match="email address"):
        SignUpBody(email=f"{local_part}@example.com", name="Ada")


def _to(address: str) -> EmailMessage:
    message = EmailMessage()
    message["To"] = address
    return message


class Unwritable(AccountMailWriter):
    def write(self, mail: AccountMail, account: Account, order: Order | None) -> EmailMessage:
        raise ValueError(f"cannot write to {account.name} <{account.email}>")


class OneAccount(AccountRepository):
    """Knows this account; Postgres is not needed for it."""

    def __init__(self, known: Account) -> None:
        self.known = known

    async def find(self, account_id: str) -> Account | None:
        return self.known if account_id == self.known.id else None


class NothingSent(MailRepository):
    async def outcome(self, message_id: str) -> MailOutcome | None:
        return None


async def test_what_goes_wrong_in_writing_a_mail_is_told_without_name_or_address() -> None:
    somebody = account("Ada Lovelace")
    nowhere = create_engine("postgresql://nobody@127.0.0.1:9/none", connections=1, application_name="tests")
    unwritable = Unwritable(**vars(writer()))
    server = SmtpServer("127.0.0.1", 9, tls=False, starttls=False, username=None, password=None, timeout_s=1)
    activities = AccountMailActivities(
        Mailer(server), unwritable, OneAccount(somebody), OrderRepository(nowhere), NothingSent(nowhere)
    )
    mail = AccountMail(account_id=somebody.id, kind=MailKind.WELCOME)

    with pytest.raises(ApplicationError) as raised:
        await ActivityEnvironment().run(activities.send_account_mail, mail)

    assert raised.value.type == "mail_not_written"
    assert str(raised.value) == "mail_not_written: the mail cannot be written (ValueError)"
    assert raised.value.__suppress_context__
