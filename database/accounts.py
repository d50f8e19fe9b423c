"""Accounts and their sign-ups. Every change writes what is to be done about it into the outbox, in one transaction."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.accounts import Account, AccountStatus
from contracts.audit import Act, AuditAction
from contracts.outbox import OutboxKind
from contracts.webhooks import WebhookEvent, WebhookEventType
from database.audit import record
from database.outbox import put, tell
from database.tables import accounts, sign_ups, webhook_endpoints

RESEND_EVERY = timedelta(seconds=60)


class KeyReused(Exception):
    """This idempotency key came with another request before."""


class ResentLately(Exception):
    """The last mail on request is less than a minute old; `wait_s` says how long to wait."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"wait {wait_s:.0f} s")
        self.wait_s = wait_s


@dataclass(frozen=True)
class SignUp:
    """A sign-up as asked for; the hashes stand for its idempotency key, if it has one, and its request under it."""

    account_id: str
    email: str
    name: str
    at: datetime
    key_hash: str | None
    request_hash: str


@dataclass(frozen=True)
class SignedUp:
    """What a sign-up is answered with: the same for a fresh address and a taken one."""

    account_id: str
    at: datetime
    replayed: bool


class AccountRepository:
    """Reads and changes accounts."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def sign_up(self, wanted: SignUp) -> SignedUp:
        """Open an account, or have its owner told when the address has one already.

        Both take the same statements, so that neither answer nor time tells a stranger which addresses are known.

        Raises KeyReused.
        """
        async with self._engine.begin() as connection:
            if wanted.key_hash is not None:
                earlier = await self._claim(connection, wanted, wanted.key_hash)
                if earlier is not None:
                    return earlier
            owner = None
            while owner is None:
                # Again only if the owner was deleted between the two statements.
                owner = await self._open(connection, wanted)
            fresh = owner == wanted.account_id
            kind = OutboxKind.ACCOUNT_CREATED if fresh else OutboxKind.ADDRESS_TAKEN
            await put(connection, aggregate=f"account/{owner}", kind=kind, payload={"account_id": owner})
        return SignedUp(wanted.account_id, wanted.at, replayed=False)

    async def _open(self, connection: AsyncConnection, wanted: SignUp) -> str | None:
        """Open the account unless its address is taken; the id of the address's owner, if it has one by then.

        The owner is locked: it cannot be deleted before there is something to tell it.
        """
        await connection.execute(
            insert(accounts)
            .values(
                id=wanted.account_id,
                email=wanted.email,
                name=wanted.name,
                status=AccountStatus.PENDING,
                created_at=wanted.at,
            )
            .on_conflict_do_nothing(index_elements=["email"])
        )
        owner = select(accounts.c.id).where(accounts.c.email == wanted.email).with_for_update(read=True)
        return (await connection.execute(owner)).scalar_one_or_none()

    async def _claim(self, connection: AsyncConnection, wanted: SignUp, key_hash: str) -> SignedUp | None:
        """Take the idempotency key for this sign-up; None when it was free."""
        claimed = await connection.scalar(
            insert(sign_ups)
            .values(
                key_hash=key_hash,
                request_hash=wanted.request_hash,
                account_id=wanted.account_id,
                created_at=wanted.at,
            )
            .on_conflict_do_nothing()
            .returning(sign_ups.c.key_hash)
        )
        if claimed is not None:
            return None
        earlier = (await connection.execute(select(sign_ups).where(sign_ups.c.key_hash == key_hash))).one()
        if earlier.request_hash != wanted.request_hash:
            raise KeyReused
        return SignedUp(earlier.account_id, earlier.created_at, replayed=True)

    async def find(self, account_id: str) -> Account | None:
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(accounts).where(accounts.c.id == account_id))).one_or_none()
        return _account(row) if row is not None else None

    async def confirm(self, account_id: str, at: datetime) -> Account | None:
        """Confirm the account's address; None when it is gone. One that is not pending stays what it is."""
        async with self._engine.begin() as connection:
            confirmed = (
                await connection.execute(
                    update(accounts)
                    .where(accounts.c.id == account_id, accounts.c.status == AccountStatus.PENDING)
                    .values(status=AccountStatus.CONFIRMED, confirmed_at=at)
                    .returning(*accounts.c)
                )
            ).one_or_none()
            if confirmed is not None:
                await self._put(connection, account_id, OutboxKind.ACCOUNT_CONFIRMED)
                await tell(connection, _confirmed(account_id, at))
                return _account(confirmed)
        return await self.find(account_id)

    async def resend(self, account_id: str, act: Act | None = None) -> bool:
        """Have the confirmation link sent once more. False when the account does not wait for its confirmation.

        An operator's `act` is entered in the audit log with it, here and below. Raises ResentLately.
        """
        async with self._engine.begin() as connection:
            row = (
                await connection.execute(
                    select(accounts.c.status, accounts.c.resends, accounts.c.resent_at, func.now().label("now"))
                    .where(accounts.c.id == account_id)
                    .with_for_update()
                )
            ).one_or_none()
            if row is None or row.status != AccountStatus.PENDING:
                return False
            if row.resent_at is not None and row.now - row.resent_at < RESEND_EVERY:
                raise ResentLately((row.resent_at + RESEND_EVERY - row.now).total_seconds())
            await connection.execute(
                update(accounts)
                .where(accounts.c.id == account_id)
                .values(resends=row.resends + 1, resent_at=func.now())
            )
            await self._put(connection, account_id, OutboxKind.ACCOUNT_RESEND, number=row.resends + 1)
            if act is not None:
                before, after = ({"resends": count} for count in (row.resends, row.resends + 1))
                await record(connection, act, AuditAction.ACCOUNT_RESEND, account_id, before=before, after=after)
        return True

    async def expire(self, account_id: str) -> AccountStatus | None:
        """Give up on an address that was not confirmed; returns what the account is then, None when it is gone."""
        async with self._engine.begin() as connection:
            await connection.execute(
                update(accounts)
                .where(accounts.c.id == account_id, accounts.c.status == AccountStatus.PENDING)
                .values(status=AccountStatus.EXPIRED)
            )
            status = await connection.scalar(select(accounts.c.status).where(accounts.c.id == account_id))
        return AccountStatus(status) if status is not None else None

    async def delete(self, account_id: str, act: Act | None = None) -> bool:
        """Erase an account and all that our tables know of its owner. False when there is none."""
        async with self._engine.begin() as connection:
            await connection.execute(delete(sign_ups).where(sign_ups.c.account_id == account_id))
            own = select(webhook_endpoints.c.id).where(webhook_endpoints.c.owner == account_id)
            await connection.execute(own.order_by(webhook_endpoints.c.id).with_for_update())
            await connection.execute(delete(webhook_endpoints).where(webhook_endpoints.c.owner == account_id))
            erased = delete(accounts).where(accounts.c.id == account_id).returning(accounts.c.status)
            status = await connection.scalar(erased)
            if status is not None:
                await self._put(connection, account_id, OutboxKind.ACCOUNT_DELETED)
                if act is not None:
                    # Nothing of the person's: the entry stays when all else is gone.
                    await record(connection, act, AuditAction.ACCOUNT_DELETE, account_id, before={"status": status})
        return status is not None

    async def _put(self, connection: AsyncConnection, account_id: str, kind: OutboxKind, **more: Any) -> None:
        payload = {"account_id": account_id, **more}
        await put(connection, aggregate=f"account/{account_id}", kind=kind, payload=payload)


def _confirmed(account_id: str, at: datetime) -> WebhookEvent:
    return WebhookEvent(
        type=WebhookEventType.ACCOUNT_CONFIRMED,
        id=account_id,
        status=AccountStatus.CONFIRMED,
        at=at,
        owner=account_id,
    )


def _account(row: Row[Any]) -> Account:
    return Account(
        id=row.id,
        email=row.email,
        name=row.name,
        status=AccountStatus(row.status),
        created_at=row.created_at,
        confirmed_at=row.confirmed_at,
    )
