"""Mail over SMTP (RFC 5321)."""

from dataclasses import dataclass
from email.message import EmailMessage

import aiosmtplib

from contracts.mail import MailBounced, MailDeferred

# RFC 5321, section 4.2.1: 5yz is a permanent negative reply.
PERMANENT = range(500, 600)


@dataclass(frozen=True)
class SmtpServer:
    """Where mail is handed in. `tls` from the first byte, or `starttls` after the greeting, or neither."""

    host: str
    port: int
    tls: bool
    starttls: bool
    username: str | None
    password: str | None
    timeout_s: float


class Mailer:
    """Hands mails to one SMTP server, each over a connection of its own."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server

    async def send(self, message: EmailMessage) -> None:
        """Hand a mail in. After MailDeferred it may have been taken all the same: send the very same one again.

        Raises MailDeferred or MailBounced.
        """
        # Replies quote addresses, and what is raised here ends in histories: hence `from None`, and codes alone.
        try:
            await aiosmtplib.send(
                message,
                hostname=self._server.host,
                port=self._server.port,
                use_tls=self._server.tls,
                start_tls=self._server.starttls,
                username=self._server.username,
                password=self._server.password,
                timeout=self._server.timeout_s,
            )
        except aiosmtplib.SMTPRecipientsRefused as refused:
            raise _verdict("the recipient", max(recipient.code for recipient in refused.recipients)) from None
        except aiosmtplib.SMTPDataError as error:
            raise _verdict("the message", error.code) from None
        except aiosmtplib.SMTPResponseException as error:
            # To our greeting, name and password, or sender: ours to mend, not the recipient's fault.
            raise MailDeferred(f"the mail server answered {error.code} before the recipient was named") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailDeferred(f"the mail server gave no answer ({type(error).__name__})") from None


def _verdict(subject: str, code: int) -> MailBounced | MailDeferred:
    if code in PERMANENT:
        return MailBounced(f"the mail server refused {subject} with {code}")
    return MailDeferred(f"the mail server put {subject} off with {code}")
