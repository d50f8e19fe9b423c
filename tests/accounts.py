"""People who sign up, and every independent witness of their welcome."""

import asyncio
import itertools
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from temporalio.client import WorkflowHandle, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import TimeSkipper

from contracts.accounts import AccountStatus
from contracts.ids import new_account_id, welcome_workflow_id
from database.accounts import AccountRepository, SignUp
from tests.histories import history_of
from tests.shop import POLL_S, RPC_TIMEOUT, WITHIN_S, Shop
from workflows.welcome import WelcomeWorkflow

TOKEN = re.compile(r"\?token=([A-Za-z0-9_.-]+)")

_numbers = itertools.count(1)


def new_address() -> str:
    """An address that no other test uses."""
    return f"ada-{next(_numbers)}-{uuid4().hex[:8]}@example.com"


@dataclass(frozen=True)
class NewAccount:
    """Somebody who signed up; the API is not needed for it."""

    shop: Shop
    id: str
    email: str

    @classmethod
    async def signed_up(cls, shop: Shop, email: str | None = None) -> "NewAccount":
        account = cls(shop, new_account_id(), email or new_address())
        await account.repository.sign_up(
            SignUp(
                account_id=account.id,
                email=account.email,
                name="Ada Lovelace",
                at=datetime.now(UTC),
                key_hash=None,
                request_hash="0" * 64,
            )
        )
        return account

    @property
    def repository(self) -> AccountRepository:
        return AccountRepository(self.shop.engine)

    @property
    def handle(self) -> WorkflowHandle[WelcomeWorkflow, AccountStatus | None]:
        return self.shop.client.get_workflow_handle_for(WelcomeWorkflow.run, welcome_workflow_id(self.id))

    async def begun(self) -> None:
        """Wait until the welcome has been started."""
        async with asyncio.timeout(WITHIN_S):
            while not await self._exists():
                await asyncio.sleep(POLL_S)

    async def _exists(self) -> bool:
        try:
            await self.handle.describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return True

    async def skip(self, time: timedelta) -> None:
        """Let time pass for the welcome."""
        async with asyncio.timeout(WITHIN_S):
            assert await TimeSkipper(self.shop.client).fast_forward(self.handle, time)

    async def skip_to_the_end(self) -> None:
        """Let the welcome's days pass, and it end."""
        async with asyncio.timeout(WITHIN_S):
            await TimeSkipper(self.shop.client).fast_forward(self.handle, timedelta(days=8))

    async def outcome(self) -> AccountStatus | None:
        await self.begun()
        async with asyncio.timeout(WITHIN_S):
            return await self.handle.result()

    async def history(self) -> WorkflowHistory:
        return await history_of(self.shop.client, self.handle)

    async def confirm(self) -> None:
        await self.repository.confirm(self.id, datetime.now(UTC))

    async def mails(self) -> list[dict[str, Any]]:
        """What the mail server has for this address, oldest first."""
        return await self.shop.ledger.mails(self.email)

    async def until_mails(self, *kinds: str, in_any_order: bool = False) -> list[dict[str, Any]]:
        """Wait until just these mails have arrived, by the kind in their Message-IDs."""
        ordered = sorted if in_any_order else list
        async with asyncio.timeout(WITHIN_S):
            while ordered(kinds_of(mails := await self.mails())) != ordered(kinds):
                assert len(mails) <= len(kinds), kinds_of(mails)
                await asyncio.sleep(POLL_S)
        return mails


def kinds_of(mails: list[dict[str, Any]]) -> list[str]:
    return [mail["message_id"].split(".")[1] for mail in mails]


def token_in(mail: dict[str, Any]) -> str:
    """The token of the link, the same in both forms of the mail."""
    [in_text], [in_html] = TOKEN.findall(mail["text"]), TOKEN.findall(mail["html"])
    assert in_text == in_html
    return str(in_text)
