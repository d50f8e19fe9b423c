"""Reads a mail (RFC 5322, MIME) as its receiver would see it, however malformed it is."""

from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import TypeVar

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Mail:
    """What a mail says. `headers` are as they came; text and html are decoded, None where there is no such part."""

    message_id: str | None
    sender: str
    subject: str
    headers: str
    text: str | None
    html: str | None


def read(content: bytes) -> Mail:
    """Never fails: what cannot be read is None or empty, and what cannot be decoded is replaced by U+FFFD."""
    headers, _, _ = content.partition(b"\r\n\r\n")
    message = _unless_malformed(
        lambda: message_from_bytes(content, EmailMessage, policy=default), EmailMessage(default)
    )
    return Mail(
        message_id=_header(message, "Message-ID") or None,
        sender=_header(message, "From"),
        subject=_header(message, "Subject"),
        headers=_with_newlines(headers.decode(errors="replace")),
        text=_body(message, "plain"),
        html=_body(message, "html"),
    )


def storable(text: str) -> str:
    """Undecoded bytes, which the email package and aiosmtpd keep as lone surrogates, made UTF-8 or replaced."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


def _header(message: EmailMessage, name: str) -> str:
    return _unless_malformed(lambda: storable(str(message.get(name, ""))).strip(), "")


def _body(message: EmailMessage, subtype: str) -> str | None:
    def decoded() -> str | None:
        part = message.get_body((subtype,))
        return None if part is None else _with_newlines(storable(str(part.get_content())))

    return _unless_malformed(decoded, None)


def _with_newlines(text: str) -> str:
    return text.replace("\r\n", "\n")


def _unless_malformed(read_it: Callable[[], Part], otherwise: Part) -> Part:
    # The email package is meant to note defects and go on, but raises all kinds of errors on some input.
    try:
        return read_it()
    except Exception:
        return otherwise
