"""The daily digest as it is written: the texts are in the templates beside this file."""

from dataclasses import dataclass
from email.message import EmailMessage

from activities.email.messages import compose
from contracts.digest import Digest, DigestDay


@dataclass(frozen=True)
class DigestWriter:
    """Writes it. `sender` is an RFC 5322 mailbox, `to` an address, and `domain` what Message-IDs end in."""

    sender: str
    to: str
    domain: str

    def message_id(self, day: DigestDay) -> str:
        """The same for every copy of a day's digest (RFC 5322, section 3.6.4)."""
        return f"<digest.{day.day.isoformat()}@{self.domain}>"

    def write(self, day: DigestDay, digest: Digest) -> EmailMessage:
        return compose(
            "digest",
            {"day": day, "digest": digest},
            message_id=self.message_id(day),
            sender=self.sender,
            to=self.to,
        )
