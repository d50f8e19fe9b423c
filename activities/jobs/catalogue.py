"""Jobs that tell of the catalogue."""

from dataclasses import dataclass

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.email.messages import compose
from activities.jobs.registry import job
from contracts.job_types.catalogue import TELL_MERCHANDISER, MerchandiserTold, TellMerchandiser
from contracts.mail import MailBounced, MailDeferred
from providers.email import Mailer


@dataclass(frozen=True)
class Merchandiser:
    """Whom the mails are for, and from whom: an address, and an RFC 5322 mailbox with its domain."""

    address: str
    sender: str
    domain: str


class CatalogueJobs:
    """Mails the merchandiser, if one is configured."""

    def __init__(self, mailer: Mailer, merchandiser: Merchandiser | None) -> None:
        self._mailer = mailer
        self._merchandiser = merchandiser

    @job(TELL_MERCHANDISER)
    async def tell_merchandiser(self, arguments: TellMerchandiser) -> MerchandiserTold:
        """Send the mail; whatever is sent twice is the very same mail, by its Message-ID."""
        to = self._merchandiser
        if to is None:
            raise ApplicationError("no merchandiser is configured any more", type="no_merchandiser", non_retryable=True)
        message_id = f"<{activity.info().activity_id}@{to.domain}>"
        mail = compose(
            "catalogue_item",
            {"change": arguments.change, "product": arguments.product},
            message_id=message_id,
            sender=to.sender,
            to=to.address,
        )
        try:
            await self._mailer.send(mail)
        except MailBounced as bounced:
            raise ApplicationError(str(bounced), type="mail_bounced", non_retryable=True) from None
        except MailDeferred as deferred:
            raise ApplicationError(str(deferred), type="mail_deferred") from None
        return MerchandiserTold(message_id=message_id)
