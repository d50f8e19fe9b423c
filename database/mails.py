"""Which logical mails have been sent, by Message-ID; neither address nor text is kept."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.mail import MailOutcome
from database.tables import mails


class MailRepository:
    """Remembers what became of each mail."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def outcome(self, message_id: str) -> MailOutcome | None:
        async with self._engine.connect() as connection:
            outcome = await connection.scalar(select(mails.c.outcome).where(mails.c.message_id == message_id))
        return MailOutcome(outcome) if outcome is not None else None

    async def record(self, message_id: str, outcome: MailOutcome) -> None:
        """The first outcome of a mail stays."""
        row = insert(mails).values(message_id=message_id, outcome=outcome, at=datetime.now(UTC))
        async with self._engine.begin() as connection:
            await connection.execute(row.on_conflict_do_nothing())
