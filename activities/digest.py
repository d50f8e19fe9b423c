"""The daily digest to operators."""

from typing import TYPE_CHECKING

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from contracts.digest import DigestDay
from contracts.mail import MailBounced, MailDeferred, MailOutcome

# Workflows import this module for its signatures; what it needs to run stays out of them.
if TYPE_CHECKING:
    from activities.email.digests import DigestWriter
    from database.digest import DigestRepository
    from database.mails import MailRepository
    from providers.email import Mailer

log = structlog.get_logger()


class DigestActivities:
    """Sends the digest of each day once, by its Message-ID. Without a writer, which knows the address, it is off."""

    def __init__(
        self, mailer: "Mailer", writer: "DigestWriter | None", digests: "DigestRepository", mails: "MailRepository"
    ) -> None:
        self.mailer = mailer
        self.writer = writer
        self.digests = digests
        self.mails = mails

    @activity.defn
    async def send_digest(self, day: DigestDay) -> MailOutcome:
        """Send the digest of a day, unless it was sent; `unwanted` when no address is configured.

        Raises mail_deferred, which is retried.
        """
        if self.writer is None:
            return MailOutcome.UNWANTED
        message_id = self.writer.message_id(day)
        known = await self.mails.outcome(message_id)
        if known is not None:
            return known
        try:
            await self.mailer.send(self.writer.write(day, await self.digests.of(day)))
            outcome = MailOutcome.SENT
        except MailBounced as bounced:
            log.warning("mail bounced", kind="digest", reason=str(bounced))
            outcome = MailOutcome.BOUNCED
        except MailDeferred as deferred:
            raise ApplicationError(
                str(deferred), type="mail_deferred", category=ApplicationErrorCategory.BENIGN
            ) from None
        await self.mails.record(message_id, outcome)
        return outcome
