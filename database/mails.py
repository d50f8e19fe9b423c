"""Which logical mails have been sent, by Message-ID; neither address nor text is kept."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.ids import mail_id_for
from contracts.mail import KeptMail, MailOutcome
from database.tables import mails


class MailRepository:
    """Remembers what became of each mail."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def outcome(self, message_id: str) -> MailOutcome | None:
        """None for a mail that is to be sent, the first time or once more."""
        async with self._engine.connect() as connection:
            outcome = await connection.scalar(select(mails.c.outcome).where(mails.c.message_id == message_id))
        return MailOutcome(outcome) if outcome is not None else None

    async def find(self, mail_id: str) -> KeptMail | None:
        """What is known of a mail; its Message-ID says what it is about."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(mails).where(mails.c.id == mail_id))).one_or_none()
        if row is None:
            return None
        about, _, rest = str(row.message_id).removeprefix("<").partition("@")[0].partition(".")
        return KeptMail.model_validate({**row._mapping, "about": about, "kind": rest.partition(".")[0]})

    async def record(self, message_id: str, outcome: MailOutcome) -> None:
        """The first outcome of a mail stays, unless an operator has it sent once more."""
        row = insert(mails).values(
            message_id=message_id, id=mail_id_for(message_id), outcome=outcome, at=datetime.now(UTC)
        )
        async with self._engine.begin() as connection:
            await connection.execute(
                row.on_conflict_do_update(
                    index_elements=["message_id"],
                    set_={"outcome": outcome, "at": row.excluded.at, "attempts": mails.c.attempts + 1},
                    where=mails.c.outcome.is_(None),
                )
            )
