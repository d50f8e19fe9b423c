"""What is left of somebody who had the account deleted (GDPR, article 17): looked for everywhere we write."""

import base64
import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
from sqlalchemy import text
from temporalio.testing import TimeSkipper

from api.bodies import SignUpBody
from tests.accounts import NewAccount, new_address
from tests.endpoints import ShopEndpoint
from tests.histories import history_of
from tests.shop import Shop
from tests.stack_session import RunningStack
from tests.webhooks import answer, hook

NAME = "Grace Hopper"


async def test_after_a_deletion_neither_table_nor_history_knows_the_owner(shop: Shop, stack: RunningStack) -> None:
    email = new_address()
    async with httpx.AsyncClient(base_url=stack.api_url) as http:
        body = {"email": email, "name": NAME}
        signed_up = await http.post("/v1/accounts", json=body, headers={"Idempotency-Key": uuid4().hex})
        account = NewAccount(shop, signed_up.json()["id"], email)
        me = {"Authorization": f"Bearer {stack.token(account.id)}"}
        await account.until_mails("welcome")
        # A stranger tries the address, under a key that outlives the account.
        await http.post("/v1/accounts", json=body, headers={"Idempotency-Key": uuid4().hex})
        await account.until_mails("welcome", "address_taken")
        await http.post(f"/v1/accounts/{account.id}/resend", headers=me)
        await account.until_mails("welcome", "address_taken", "resend")
        await TimeSkipper(shop.client).fast_forward(account.handle, timedelta(hours=25))
        await shop.place(customer_id=account.id)
        kinds = ["welcome", "address_taken", "resend", "reminder", "order_confirmation", "shipping_notice"]
        # What the order's events bring is over: they would disable the endpoint before its time.
        await account.until_mails(*kinds, in_any_order=True)
        async with hook(answer(500)) as receiver:
            endpoint = await ShopEndpoint.at(receiver, shop, owner=account.id)
            await (await endpoint.send()).attempted()
            await endpoint.alter(failing_since=datetime.now(UTC) - timedelta(days=5))
            await (await endpoint.send()).attempted()
            await account.until_mails(*kinds, "endpoint_disabled", in_any_order=True)
            at = receiver.host

        assert [table for table, rows in (await dump(shop)).items() if email in rows] == ["accounts"]
        assert (await http.delete(f"/v1/accounts/{account.id}", headers=me)).status_code == 204
    assert await account.outcome() is None

    tables, histories = await dump(shop), await told_of(account, shop)
    assert len(tables) > 15
    assert len(histories) >= 5
    of_the_request = SignUpBody(email=email, name=NAME).request_hash
    for word in (email, email.partition("@")[0], NAME, "Hopper", of_the_request, at):
        assert not [table for table, rows in tables.items() if word in rows], word
        assert not [workflow for workflow, history in histories.items() if word in history], word


async def dump(shop: Shop) -> dict[str, str]:
    """Every row of every table of ours, as text."""
    async with shop.engine.connect() as connection:
        names = await connection.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'followthrough' ORDER BY tablename")
        )
        return {
            name: "\n".join(await connection.scalars(text(f"SELECT t::text FROM followthrough.{name} AS t")))
            for name in names.all()
        }


async def told_of(account: NewAccount, shop: Shop) -> dict[str, str]:
    """The histories of every process that the account or its order had, payloads decoded; by workflow id."""
    found = {}
    async for workflow in shop.client.list_workflows("WorkflowType IN ('Welcome', 'AccountMail', 'Delivery')"):
        handle = shop.client.get_workflow_handle(workflow.id, run_id=workflow.run_id)
        history = decoded(json.loads((await history_of(shop.client, handle)).to_json()))
        if account.id in history:
            found[workflow.id] = history
    return found


def decoded(history: object) -> str:
    match history:
        case {"data": str(data), "metadata": _}:
            return base64.b64decode(data).decode()
        case dict():
            return "\n".join(f"{name} {decoded(member)}" for name, member in history.items())
        case list():
            return "\n".join(map(decoded, history))
        case _:
            return str(history)
