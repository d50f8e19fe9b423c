"""Every shape that the history of an account's welcome can take, each as a run of a real one."""

import asyncio
from dataclasses import dataclass
from typing import Any

from temporalio.client import Client, WorkflowHandle, WorkflowHistory

from tests.accounts import NewAccount, new_address
from tests.histories import history_of
from tests.shop import WITHIN_S, Shop


@dataclass(frozen=True)
class OneMail:
    """The process of a single mail."""

    client: Client
    handle: WorkflowHandle[Any, Any]

    async def outcome(self) -> object:
        async with asyncio.timeout(WITHIN_S):
            return await self.handle.result()

    async def history(self) -> WorkflowHistory:
        return await history_of(self.client, self.handle)


async def welcomed_and_confirmed(shop: Shop) -> NewAccount:
    account = await NewAccount.signed_up(shop)
    await account.until_mails("welcome")
    await account.confirm()
    return account


async def welcomed_reminded_and_expired(shop: Shop) -> NewAccount:
    account = await NewAccount.signed_up(shop)
    await account.until_mails("welcome")
    await account.skip_to_the_end()
    return account


async def bounced_and_expired(shop: Shop) -> NewAccount:
    email = new_address()
    await shop.ledger.misbehave(email, "send", "decline")
    account = await NewAccount.signed_up(shop, email)
    await account.begun()
    await account.skip_to_the_end()
    return account


async def welcomed_resent_and_deleted(shop: Shop) -> NewAccount:
    account = await NewAccount.signed_up(shop)
    await account.until_mails("welcome")
    await account.repository.resend(account.id)
    await account.until_mails("welcome", "resend")
    await account.repository.delete(account.id)
    return account


async def told_that_the_address_is_taken(shop: Shop) -> OneMail:
    account = await NewAccount.signed_up(shop)
    await account.until_mails("welcome")
    await NewAccount.signed_up(shop, account.email)
    _, told = await account.until_mails("welcome", "address_taken")
    message_key = told["message_id"].strip("<>").partition("@")[0]
    return OneMail(shop.client, shop.client.get_workflow_handle(f"mail/{message_key}"))
