"""Signs people up, and keeps their accounts. Postgres is all it takes; what follows, the outbox has done."""

import hmac
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from structlog.contextvars import bind_contextvars
from temporalio.client import Client, WorkflowQueryFailedError, WorkflowQueryRejectedError
from temporalio.service import RPCError

from api.account_resource import AccountResource
from api.auth import Principal
from api.bodies import SignUpBody
from api.errors import (
    ConfirmationInvalid,
    IdempotencyKeyReused,
    NotAwaitingConfirmation,
    NotFound,
    RateLimited,
)
from api.outages import Unreachable, asking_postgres, asking_temporal
from contracts.accounts import Account, AccountStatus
from contracts.audit import Act
from contracts.confirmation import InvalidConfirmation, confirmed_account_id
from contracts.ids import new_account_id, welcome_workflow_id
from database.accounts import AccountRepository, KeyReused, ResentLately, SignUp
from workflows.welcome import WelcomeWorkflow

QUERY_WITHIN_S = 1.0


@dataclass(frozen=True)
class SignedUpAccount:
    """A sign-up's answer, and whether it was given before."""

    account: AccountResource
    replayed: bool


class AccountKeeper:
    """Opens, confirms, shows and erases accounts. What an operator does to somebody's is in the audit log (`act`)."""

    def __init__(self, repository: AccountRepository, temporal: Client, *, confirmation_secret: str) -> None:
        self._repository = repository
        self._temporal = temporal
        self._confirmation_secret = confirmation_secret

    async def sign_up(self, key: str | None, body: SignUpBody) -> SignedUpAccount:
        """Open an account. A taken address is answered like a fresh one; its owner is told by mail.

        Raises IdempotencyKeyReused or Unreachable.
        """
        wanted = SignUp(
            account_id=new_account_id(),
            email=body.email,
            name=body.name,
            at=datetime.now(UTC),
            key_hash=sha256(key.encode()).hexdigest() if key is not None else None,
            request_hash=_hash_under(key, body.request_hash) if key is not None else "",
        )
        try:
            async with asking_postgres():
                answered = await self._repository.sign_up(wanted)
        except KeyReused:
            raise IdempotencyKeyReused("Repeat the very same body, or send a new key with a new sign-up.") from None
        account = Account(
            id=answered.account_id,
            email=body.email,
            name=body.name,
            status=AccountStatus.PENDING,
            created_at=answered.at,
        )
        return SignedUpAccount(AccountResource.of(account), answered.replayed)

    async def confirm(self, token: str) -> AccountResource:
        """Confirm the address that this token was sent to. Raises ConfirmationInvalid or Unreachable."""
        try:
            account_id = confirmed_account_id(token, self._confirmation_secret)
        except InvalidConfirmation as error:
            raise ConfirmationInvalid(f"The token is not valid: {error}.") from error
        _bind(account_id)
        async with asking_postgres():
            account = await self._repository.confirm(account_id, datetime.now(UTC))
        if account is None or account.status is not AccountStatus.CONFIRMED:
            raise ConfirmationInvalid("The account that it was for does not wait for it any more.")
        return AccountResource.of(account)

    async def get(self, caller: Principal, account_id: str) -> AccountResource:
        """Raises NotFound, also for somebody else's account, or Unreachable."""
        account = await self._known(caller, account_id)
        return AccountResource.of(account, await self._status_of_welcome(account))

    async def resend(self, caller: Principal, account_id: str, act: Act) -> AccountResource:
        """Have the confirmation link sent again. Raises NotFound, NotAwaitingConfirmation, RateLimited, Unreachable."""
        account = await self._known(caller, account_id)
        try:
            async with asking_postgres():
                will_be_sent = await self._repository.resend(account_id, act if caller.acts_for(account_id) else None)
        except ResentLately as lately:
            wait_s = math.ceil(lately.wait_s)
            raise RateLimited(
                f"A link was sent less than a minute ago; wait {wait_s} s.", headers={"Retry-After": str(wait_s)}
            ) from None
        if not will_be_sent:
            raise NotAwaitingConfirmation
        return AccountResource.of(account)

    async def delete(self, caller: Principal, account_id: str, act: Act) -> None:
        """Erase the account and what we know of its owner. Raises NotFound or Unreachable."""
        await self._known(caller, account_id)
        async with asking_postgres():
            if not await self._repository.delete(account_id, act if caller.acts_for(account_id) else None):
                raise NotFound

    async def _known(self, caller: Principal, account_id: str) -> Account:
        _bind(account_id)
        if not caller.owns(account_id):
            raise NotFound
        async with asking_postgres():
            account = await self._repository.find(account_id)
        if account is None:
            raise NotFound
        return account

    async def _status_of_welcome(self, account: Account) -> AccountStatus | None:
        """What the welcome of a pending account says; None when it is over, not begun, or does not answer."""
        if account.status is not AccountStatus.PENDING:
            return None
        handle = self._temporal.get_workflow_handle(welcome_workflow_id(account.id))
        try:
            async with asking_temporal(QUERY_WITHIN_S):
                return await handle.query(WelcomeWorkflow.status, rpc_timeout=timedelta(seconds=QUERY_WITHIN_S))
        except (Unreachable, RPCError, WorkflowQueryFailedError, WorkflowQueryRejectedError):
            return None


def _hash_under(key: str, request_hash: str) -> str:
    """What tells a repeated sign-up, and without its key, which we do not keep, nothing about address and name."""
    return hmac.new(key.encode(), request_hash.encode(), sha256).hexdigest()


def _bind(account_id: str) -> None:
    bind_contextvars(account_id=account_id, workflow_id=welcome_workflow_id(account_id))
