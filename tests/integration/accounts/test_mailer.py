"""Handing mail in to real mail servers that want TLS and a password, or refuse in every way there is."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from contracts.mail import MailBounced, MailDeferred
from providers.email import Mailer, SmtpServer
from tests.integration.webhooks.receivers import Authority

PASSWORD = "correct horse"


@dataclass
class Inbox:
    """A mail server that answers the recipient and the content as told."""

    rcpt: str = "250 OK"
    data: str = "250 OK"
    port: int = 0
    senders: list[str | None] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.senders.append(envelope.mail_from)
        return self.data


@asynccontextmanager
async def listening(inbox: Inbox, *, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[Inbox]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(inbox, loop=loop, **options), "127.0.0.1", 0, ssl=tls)
    inbox.port = server.sockets[0].getsockname()[1]
    async with server:
        yield inbox


def authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
    assert isinstance(data, LoginPassword)
    return AuthResult(success=data == LoginPassword(b"followthrough", PASSWORD.encode()), handled=False)


def mailer(inbox: Inbox, *, tls: bool = False, starttls: bool = False, password: str | None = None) -> Mailer:
    return Mailer(
        SmtpServer(
            host="localhost",
            port=inbox.port,
            tls=tls,
            starttls=starttls,
            username="followthrough" if password else None,
            password=password,
            timeout_s=5,
        )
    )


def mail() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "us@example.com", "ada@example.com", "Hello"
    message.set_content("Hello Ada")
    return message


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """A certificate authority that this process trusts."""
    authority = Authority.found(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle()))
    return authority


async def test_mail_is_handed_in_after_starttls_and_a_password(authority: Authority) -> None:
    context = authority.server_of("localhost")
    async with listening(
        Inbox(), tls_context=context, require_starttls=True, authenticator=authenticate, auth_required=True
    ) as inbox:
        await mailer(inbox, starttls=True, password=PASSWORD).send(mail())

    assert inbox.senders == ["us@example.com"]


async def test_mail_is_handed_in_over_tls_from_the_first_byte(authority: Authority) -> None:
    async with listening(Inbox(), tls=authority.server_of("localhost")) as inbox:
        await mailer(inbox, tls=True).send(mail())

    assert inbox.senders == ["us@example.com"]


async def test_a_server_that_cannot_prove_its_name_gets_neither_mail_nor_password(tmp_path: Path) -> None:
    stranger = Authority.found(tmp_path)
    async with listening(
        Inbox(), tls_context=stranger.server_of("localhost"), authenticator=authenticate, auth_required=True
    ) as inbox:
        with pytest.raises(MailDeferred):
            await mailer(inbox, starttls=True, password=PASSWORD).send(mail())

    assert inbox.senders == []


async def test_a_wrong_password_is_ours_to_mend_and_not_quoted(authority: Authority) -> None:
    context = authority.server_of("localhost")
    async with listening(
        Inbox(), tls_context=context, require_starttls=True, authenticator=authenticate, auth_required=True
    ) as inbox:
        with pytest.raises(MailDeferred) as raised:
            await mailer(inbox, starttls=True, password="a wrong one").send(mail())

    assert "535" in str(raised.value)
    assert "wrong one" not in str(raised.value)


@pytest.mark.parametrize(
    ("told", "verdict", "code"),
    [
        (Inbox(rcpt="550 5.1.1 ada@example.com is unknown"), MailBounced, "550"),
        (Inbox(rcpt="450 4.2.1 ada@example.com is busy"), MailDeferred, "450"),
        (Inbox(data="554 5.7.1 ada@example.com wants none of it"), MailBounced, "554"),
        (Inbox(data="452 4.3.1 no room for ada@example.com"), MailDeferred, "452"),
    ],
    ids=["unknown", "busy", "spam", "full"],
)
async def test_a_refusal_is_told_from_a_delay_and_quotes_no_address(
    told: Inbox, verdict: type[Exception], code: str
) -> None:
    async with listening(told) as inbox:
        with pytest.raises(verdict) as raised:
            await mailer(inbox).send(mail())

    assert code in str(raised.value)
    assert "ada" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


async def test_a_server_that_is_not_there_delays() -> None:
    async with listening(Inbox()) as inbox:
        pass

    with pytest.raises(MailDeferred, match="no answer"):
        await mailer(inbox).send(mail())
