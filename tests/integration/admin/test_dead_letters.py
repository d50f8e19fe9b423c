"""Dead letters that are no jobs: parked orders, mails that bounced, endpoints that were disabled."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError

from contracts.orders import OrderStatus
from contracts.webhooks import EndpointStatus
from database.tables import audit_log, discarded_letters, jobs, outbox
from tests.acceptance.client import Caller, Door, assert_problem
from tests.accounts import NewAccount, new_address
from tests.endpoints import ShopEndpoint
from tests.jobs import read, until
from tests.letters import PATH, audited, dead, discard, letter, poison, retry
from tests.shop import POLL_S, WITHIN_S, Shop, ShopOrder
from tests.webhooks import answer, hook

FOR_LONG = 1_000


async def parked(shop: Shop, customer: str | None = None) -> ShopOrder:
    """An order that the carrier did not take, of a customer who has no others if told."""
    order = await shop.order(retry_window_s=1)
    if customer is not None:
        order = ShopOrder(shop, order.placed.model_copy(update={"customer_id": customer}))
    await order.meets("ship", "error_before", times=FOR_LONG)
    await order.start()
    await order.parked()
    return order


async def test_a_parked_order_is_a_dead_letter_and_its_retry_is_the_workflows(shop: Shop, operator: Caller) -> None:
    order = await parked(shop)
    booked = await order.booked()

    found = await letter(operator, order.id, kind="order")
    assert (found["reason"], found["attempts"], found["subject"]) == ("stuck_at_ship", 1, booked.customer_id)
    assert found["message"] == booked.timeline[-1].detail
    assert datetime.fromisoformat(found["since"]) == booked.timeline[-1].at
    assert found["links"]["discard"] is None
    assert_problem(await discard(operator, order.id), 409, "must_be_resolved")

    await shop.ledger.behave()
    retried = await retry(operator, order.id, note="the carrier is back")

    assert retried.status_code == 202, retried.text
    assert (await order.settled()).status is OrderStatus.COMPLETED
    [entry] = await audited(operator, subject=order.id)
    assert (entry["actor"], entry["action"], entry["note"]) == ("olga", "order.retry", "the carrier is back")
    assert (entry["before"], entry["after"]) == ({"status": "needs_attention"}, {"status": "processing"})
    assert entry["request_id"] == retried.headers["x-request-id"]
    assert_problem(await retry(operator, order.id), 409, "not_a_dead_letter")


async def test_parked_orders_are_retried_in_bulk_and_audited(shop: Shop, operator: Caller) -> None:
    customer = f"customer-{uuid4().hex}"
    orders = [await parked(shop, customer) for _ in range(2)]
    await shop.ledger.behave()

    fitting = {"kind": "order", "subject": customer}
    sweep = {"filter": fitting, "expected": 2, "note": "all is well"}
    discarded = await operator.post(f"{PATH}/discard", json={"filter": fitting, "limit": 9, "reason": "no"})
    retried = await operator.post(f"{PATH}/retry", json=sweep)

    assert {one["code"] for one in discarded.json()["skipped"]} == {"must_be_resolved"}
    assert (discarded.json()["done"], retried.json()["done"]) == (0, 2), retried.text
    for order in orders:
        assert (await order.settled()).status is OrderStatus.COMPLETED
        [entry] = await audited(operator, subject=order.id)
        assert (entry["action"], entry["actor"], entry["note"]) == ("order.retry", "olga", "all is well")


async def test_a_bounced_mail_is_a_dead_letter_and_is_sent_once_more(shop: Shop, operator: Caller) -> None:
    email = new_address()
    await shop.ledger.misbehave(email, "send", "decline")
    account = await NewAccount.signed_up(shop, email)
    async with asyncio.timeout(WITHIN_S):
        while not (found := (await dead(operator, kind="mail", subject=account.id))["items"]):
            await asyncio.sleep(POLL_S)
    [bounced] = found
    assert (bounced["reason"], bounced["attempts"], bounced["links"]["about"]) == ("bounced", 1, None)
    assert bounced["id"].startswith("mail_")
    assert email not in str(bounced)
    assert await account.mails() == []

    assert (await retry(operator, bounced["id"], note="the mailbox is there now")).status_code == 202

    await account.until_mails("welcome")
    assert (await dead(operator, kind="mail", subject=account.id))["items"] == []
    [entry] = await audited(operator, subject=bounced["id"])
    assert (entry["action"], entry["before"]) == ("mail.retry", {"outcome": "bounced"})


async def test_a_mail_that_bounces_again_is_listed_again_with_its_attempts(shop: Shop, operator: Caller) -> None:
    email = new_address()
    await shop.ledger.misbehave(email, "send", "decline", times=2)
    account = await NewAccount.signed_up(shop, email)

    async def listed(attempts: int) -> dict[str, Any]:
        async with asyncio.timeout(WITHIN_S):
            while True:
                found = (await dead(operator, kind="mail", subject=account.id))["items"]
                if found and found[0]["attempts"] == attempts:
                    only: dict[str, Any] = found[0]
                    return only
                await asyncio.sleep(POLL_S)

    first = await listed(1)
    await discard(operator, first["id"])
    assert (await dead(operator, kind="mail", subject=account.id))["items"] == []
    # As if it were still listed: what was discarded is not retried.
    assert_problem(await retry(operator, first["id"]), 409, "not_a_dead_letter")
    async with shop.engine.begin() as connection:
        await connection.execute(delete(discarded_letters).where(discarded_letters.c.id == first["id"]))
    await retry(operator, first["id"])
    assert (await listed(2))["since"] > first["since"]


async def test_a_disabled_endpoint_is_a_dead_letter_unless_its_owner_disabled_it(shop: Shop, operator: Caller) -> None:
    async with hook(answer(410)) as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        await (await endpoint.send()).settled()
        owners = await ShopEndpoint.at(receiver, shop)
        await owners.repository.change(owners.id, {"status": EndpointStatus.DISABLED})

    found = await letter(operator, endpoint.id)
    assert (found["kind"], found["reason"], found["attempts"]) == ("webhook_endpoint", "gone", 1)
    assert found["subject"] == endpoint.owner
    assert (await dead(operator, subject=owners.owner))["items"] == []
    assert_problem(await retry(operator, owners.id), 409, "not_a_dead_letter")

    assert (await retry(operator, endpoint.id)).status_code == 202

    again = await endpoint.found()
    assert (again.status, again.disabled_reason) == (EndpointStatus.ACTIVE, None)
    [entry] = await audited(operator, subject=endpoint.id)
    assert entry["action"] == "webhook_endpoint.retry"
    assert entry["before"] == {"status": "disabled", "disabled_reason": "gone"}


async def test_an_endpoint_that_failed_for_days_can_be_discarded(shop: Shop, operator: Caller) -> None:
    async with hook(answer(500)) as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        await (await endpoint.send()).attempted()
        await endpoint.alter(failing_since=datetime.now(UTC) - timedelta(days=5))
        await (await endpoint.send()).attempted()
    assert (await letter(operator, endpoint.id))["reason"] == "failing"

    assert (await discard(operator, endpoint.id)).status_code == 200

    assert (await dead(operator, subject=endpoint.owner))["items"] == []
    assert (await endpoint.found()).status is EndpointStatus.DISABLED


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE followthrough.audit_log SET note = 'x'",
        "DELETE FROM followthrough.audit_log",
        "TRUNCATE followthrough.audit_log",
    ],
)
async def test_the_audit_log_only_grows(shop: Shop, door: Door, operator: Caller, statement: str) -> None:
    job = await poison(door.customer("jobs:write"))
    await discard(operator, job["id"])
    before = await _entries(shop)

    async with shop.engine.connect() as connection:
        with pytest.raises(DBAPIError, match="append-only"):
            await connection.execute(text(statement))

    assert await _entries(shop) == before


async def _entries(shop: Shop) -> list[Any]:
    async with shop.engine.connect() as connection:
        return list(await connection.scalars(select(audit_log.c.id).order_by(audit_log.c.id)))


async def test_a_restarted_job_is_not_settled_by_what_temporal_says_of_its_earlier_run(
    shop: Shop, door: Door, operator: Caller
) -> None:
    """As long as the outbox has not told Temporal, the activity of that id is the one that failed."""
    owner = door.customer("jobs:write")
    job = await poison(owner, fail_times=5)
    async with shop.engine.begin() as connection:
        # What the relay would wait for: a row of the same job before its own.
        await connection.execute(
            outbox.insert().values(aggregate=f"job/{job['id']}", kind="of_a_later_version", payload={})
        )
    await retry(operator, job["id"])

    for _ in range(3):
        assert (await read(owner, job))["status"] == "queued"
    async with shop.engine.begin() as connection:
        await connection.execute(delete(outbox).where(outbox.c.kind == "of_a_later_version"))
        restarts = await connection.scalar(select(jobs.c.restarts).where(jobs.c.id == job["id"]))
    assert restarts == 1
    assert (await until(owner, job, "succeeded"))["attempt"] == 6


async def test_a_job_that_timed_out_is_a_dead_letter_with_the_reason(shop: Shop, door: Door, operator: Caller) -> None:
    owner = door.customer("jobs:write")
    job = await poison(owner)
    error = {"code": "worker_lost", "message": "The worker that ran this attempt was lost."}
    async with shop.engine.begin() as connection:
        timed_out = update(jobs).where(jobs.c.id == job["id"]).values(status="timed_out", last_error=error)
        await connection.execute(timed_out)

    found = await letter(operator, job["id"], subject=owner.subject)

    assert (found["reason"], found["message"]) == ("worker_lost", error["message"])
