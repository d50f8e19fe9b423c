"""The mail server: SMTP (RFC 5321) without TLS or authentication. It keeps every mail that it accepts."""

import asyncio
import logging
from collections.abc import Sequence
from typing import NoReturn

from aiosmtpd.smtp import SMTP, Envelope, Session

from sandbox.calls import Call, now
from sandbox.faults import LONGEST_DELAY_S, Behaviour, Fault, Faults, Operation, Provider
from sandbox.ledger import Ledger
from sandbox.mails import Mail, read, storable
from sandbox.waiting import Waiting

logger = logging.getLogger(__name__)

LARGEST_MAIL = 1024 * 1024
"""In bytes, as announced by SIZE (RFC 1870)."""
MOST_RECIPIENTS = 100

REFUSALS = {
    Behaviour.DECLINE: "550 5.1.1 No such mailbox",
    Behaviour.ERROR_BEFORE: "451 4.3.0 Something went wrong on our side",
    Behaviour.RATE_LIMIT: "451 4.7.1 Greylisted, come back later",
    Behaviour.UNAVAILABLE: "421 4.3.2 Service not available, closing the connection",
}
BREAKS_OFF = frozenset({Behaviour.ERROR_AFTER, Behaviour.TIMEOUT_AFTER})

# What a client meets on MAIL FROM is all that needs neither a recipient nor the mail, and so on.
BEYOND_THE_SENDER = frozenset(Behaviour) - {Behaviour.UNAVAILABLE}
BEYOND_THE_RECIPIENT = BREAKS_OFF | {Behaviour.ERROR_BEFORE, Behaviour.SLOW}


class MailServer:
    """Takes mail for everyone, unless a fault says otherwise. The methods named handle_... are aiosmtpd's hooks."""

    def __init__(self, ledger: Ledger, faults: Faults, waiting: Waiting) -> None:
        self.ledger = ledger
        self.faults = faults
        self.waiting = waiting
        self._deliveries: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> None:
        """Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: SMTP(
                self,
                data_size_limit=LARGEST_MAIL,
                enable_SMTPUTF8=True,
                hostname="localhost",
                ident="Followthrough sandbox",
                # An idle client is sent away, but not while it is kept waiting on purpose.
                timeout=LONGEST_DELAY_S + 300,
                loop=loop,
            ),
            host,
            port,
        )

    async def stop(self) -> None:
        """Take no more connections, and finish what was delayed; the caller has ended the delays."""
        if self._listener is not None:
            self._listener.close()
        await asyncio.gather(*self._deliveries, return_exceptions=True)

    async def handle_MAIL(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, _: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        fault = self.faults.take(Operation.SEND, (), BEYOND_THE_SENDER)
        if fault:
            return await self._refuse(server, fault, [Call(Provider.EMAIL, Operation.SEND)])
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, _: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) == MOST_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        to = storable(address)
        fault = self.faults.take(Operation.SEND, {to}, BEYOND_THE_RECIPIENT)
        if fault:
            return await self._refuse(server, fault, [Call(Provider.EMAIL, Operation.SEND, to=to)])
        envelope.rcpt_tos.append(to)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, _: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's name
        mail = read(envelope.original_content or b"")
        calls = [Call(Provider.EMAIL, Operation.SEND, mail.message_id, to=to) for to in envelope.rcpt_tos]
        fault = self.faults.take(Operation.SEND, {mail.message_id, *envelope.rcpt_tos})
        if fault and fault.behaviour in REFUSALS:
            return await self._refuse(server, fault, calls)
        # In a task of its own: the session's is cancelled when the client goes away, and it has to happen all the same.
        delivery = asyncio.create_task(self._deliver(mail, calls, fault))
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)
        await asyncio.shield(delivery)
        if fault and fault.behaviour is Behaviour.TIMEOUT_AFTER:
            await self.waiting.delay(fault.delay_s)
        if fault and fault.behaviour in BREAKS_OFF:
            _hang_up()
        return "250 2.0.0 Kept"

    async def handle_exception(self, error: Exception) -> str:
        # aiosmtpd's own answer is a 500, and a client would never try again.
        logger.error("a mail could not be taken", exc_info=error)
        return "451 4.3.0 Something went wrong on our side"

    async def _deliver(self, mail: Mail, calls: Sequence[Call], fault: Fault | None) -> None:
        behaviour = fault.behaviour if fault else None
        if fault and behaviour is Behaviour.SLOW:
            await self.waiting.delay(fault.delay_s)
        with self.ledger.transaction():
            for call in calls:
                call.fault = behaviour
                call.replayed = self.ledger.has_email(mail.message_id, str(call.to))
                self.ledger.add_email(mail, str(call.to), now())
                self.ledger.log(call, None if behaviour in BREAKS_OFF else 250)

    async def _refuse(self, server: SMTP, fault: Fault, calls: Sequence[Call]) -> str:
        reply = REFUSALS[fault.behaviour]
        with self.ledger.transaction():
            for call in calls:
                call.fault = fault.behaviour
                self.ledger.log(call, int(reply[:3]))
        if fault.behaviour is Behaviour.UNAVAILABLE:
            await server.push(reply)
            _hang_up()
        return reply


def _hang_up() -> NoReturn:
    """Close the connection without (another) answer: what aiosmtpd does when the task of its session is cancelled."""
    raise asyncio.CancelledError
