"""Postgres, Temporal or the worker stop answering under a running API, and come back."""

import asyncio
import os
import signal
import time
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from database.engine import create_engine
from database.tables import attention_items
from stack.home import Home
from tests.acceptance.client import POLL_S, WITHIN_S, Caller, assert_problem, new_key, order_body
from tests.acceptance.visitor import order_form, visiting
from tests.accounts import new_address, token_in
from tests.inbound_events import dispute, encoded, payment_event, stripe_headers
from tests.integration.api.breaking import family, frozen, readiness, until_ready
from tests.stack_session import RunningStack

pytestmark = pytest.mark.outage

SKU = "TEE-BLACK-M"
# It is given up after 3.25 s; the machine may be busy.
ANSWERED_WITHIN_S = 5.0
SCRAPED_WITHIN_S = 2.0


async def test_temporal_away(own_stack: RunningStack, caller: Caller) -> None:
    key, body = new_key(), order_body(SKU)
    finished = await caller.placed(sku=SKU)
    await caller.until(finished["id"], "completed")

    with frozen(own_stack, "temporal"):
        answer = await caller.place(body, key)
        assert_problem(answer, 503, "temporarily_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        status, checks = await readiness(caller)
        assert (status, checks["postgres"]) == (503, "ok")
        assert checks["temporal"] != "ok"
        assert (await caller.http.get("/livez")).status_code == 200
        # What is over is read from our books.
        assert (await caller.order(finished["id"]))["status"] == "completed"
        assert (await caller.get("/v1/orders")).status_code == 200
    await until_ready(caller)

    # Whether the order was accepted is settled by repeating the key.
    again = await caller.place(body, key)
    assert again.status_code in (200, 202), again.text
    assert (await caller.until(again.json()["id"], "completed"))["id"] == again.json()["id"]


async def test_schedules_and_queues_while_temporal_is_away(own_stack: RunningStack, caller: Caller) -> None:
    schedule = "/v1/admin/schedules/stuck-orders"
    backfill = {"from": "2026-02-01T00:00:00Z", "to": "2026-02-01T01:00:00Z"}

    with frozen(own_stack, "temporal"):
        answers = [
            await caller.get("/v1/admin/schedules"),
            await caller.get(schedule),
            *[await caller.post(f"{schedule}/{command}") for command in ("pause", "resume", "trigger")],
            await caller.post(f"{schedule}/backfill", json=backfill),
        ]
        began = time.monotonic()
        answers.append(await caller.get("/v1/admin/queues"))
        answered, scraped = time.monotonic(), await caller.http.get(own_stack.metrics["api"])
        assert answered - began < ANSWERED_WITHIN_S
        assert time.monotonic() - answered < SCRAPED_WITHIN_S
        assert "followthrough_state_reads_total" in scraped.text
        # These are in our books.
        attention = await caller.get("/v1/admin/attention")
    await until_ready(caller)

    for answer in answers:
        assert_problem(answer, 503, "temporarily_unavailable")
        assert int(answer.headers["retry-after"]) > 0
    assert attention.status_code == 200
    assert (await caller.get(schedule)).status_code == 200


async def test_an_order_from_the_shop_meets_temporals_absence(own_stack: RunningStack, caller: Caller) -> None:
    customer = Caller(caller.http, own_stack, "shopper", "orders:write")
    async with visiting(own_stack) as visitor:
        await visitor.sign_in(own_stack.token("shopper", "orders:write"))
        form = {"key": visitor.hidden("key"), **order_form(SKU)}

        with frozen(own_stack, "temporal"):
            unsure = await visitor.send("/shop", form)
            visitor.page = unsure.text
        await until_ready(caller)
        again = await visitor.send("/shop", form)

    assert unsure.status_code == 503
    assert "We could not see whether your order was placed." in unsure.text
    assert visitor.hidden("key") == form["key"]
    assert again.status_code == 303
    order = await customer.until(again.headers["location"].rpartition("/")[2], "completed")
    assert [one["id"] for one in (await customer.get("/v1/orders")).json()["items"]] == [order["id"]]


async def test_signing_up_works_while_temporal_is_away_and_the_mail_comes_later(
    own_stack: RunningStack, caller: Caller
) -> None:
    email = new_address()

    with frozen(own_stack, "temporal"):
        answer = await caller.http.post("/v1/accounts", json={"email": email, "name": "Ada"})
        assert (answer.status_code, answer.json()["status"]) == (201, "pending")
        owner = Caller(caller.http, own_stack, answer.json()["id"])
        # What the welcome would say cannot be asked for; our books know enough.
        assert (await owner.get(answer.json()["links"]["self"])).json()["status"] == "pending"
    await until_ready(caller)

    [mail] = await mails_to(email, own_stack)
    confirmed = await caller.http.post("/v1/accounts/confirm", json={"token": token_in(mail)})
    assert confirmed.json()["status"] == "confirmed"


async def mails_to(address: str, stack: RunningStack) -> list[dict[str, Any]]:
    """The mails to this address, once there are any."""
    async with httpx.AsyncClient(base_url=stack.sandbox_url) as sandbox, asyncio.timeout(WITHIN_S):
        while not (found := (await sandbox.get("/inbox.json", params={"to": address})).json()["messages"]):
            await asyncio.sleep(POLL_S)
    return list(found)


async def test_postgres_hangs(own_stack: RunningStack, caller: Caller) -> None:
    placed = await caller.placed(sku=SKU)
    await caller.until(placed["id"], "completed")

    with frozen(own_stack, "postgres"):
        answers = await asyncio.gather(
            *(caller.get(path) for path in ("/v1/orders", "/v1/catalogue", f"/v1/orders/{placed['id']}")),
            caller.place(order_body(SKU)),
        )
        for answer in answers:
            assert_problem(answer, 503, "temporarily_unavailable")
        status, checks = await readiness(caller)
        assert status == 503
        assert checks["postgres"] != "ok"
        assert (await caller.http.get("/livez")).status_code == 200
    await until_ready(caller)

    again = await caller.placed(sku=SKU)
    await caller.until(again["id"], "completed")


async def test_postgres_killed(own_stack: RunningStack, caller: Caller) -> None:
    os.kill(family(own_stack, "postgres")[0].pid, signal.SIGKILL)

    async with asyncio.timeout(WITHIN_S):
        while (answer := await caller.place(order_body(SKU))).status_code != 202:
            assert_problem(answer, 503, "temporarily_unavailable")
            await asyncio.sleep(POLL_S)
    await caller.until(answer.json()["id"], "completed")
    await until_ready(caller)


async def test_no_worker_answers(own_stack: RunningStack, caller: Caller) -> None:
    with frozen(own_stack, "worker"):
        placed = await caller.placed(sku=SKU)
        order = await caller.order(placed["id"])
        assert (order["status"], order["source"], order["stale"]) == ("accepted", "projection", True)
        assert order["timeline"] == placed["timeline"]
        cancel = await caller.post(f"/v1/orders/{placed['id']}/cancel")
        assert_problem(cancel, 503, "temporarily_unavailable")

    await caller.until(placed["id"], "completed", "cancelled")


async def test_before_the_first_booking_the_accepted_order_answers_for_itself(
    own_stack: RunningStack, caller: Caller
) -> None:
    key, body = new_key(), order_body(SKU)
    with frozen(own_stack, "worker"):
        placed = await caller.place(body, key)
        order_id = placed.json()["id"]
        # What no catalogue has cannot have been ordered: it is another body, whatever becomes of the catalogue.
        assert_problem(await caller.place(order_body("NO-SUCH-SKU"), key), 422, "idempotency_key_reused")
        assert (await caller.place(body, key)).headers["idempotent-replayed"] == "true"
        rejected = await caller.post(f"/v1/admin/orders/{order_id}/reject")
        assert_problem(rejected, 409, "not_awaiting_approval")

    await caller.until(order_id, "completed")


async def test_an_event_is_kept_while_everything_but_postgres_is_away_and_processed_afterwards(
    own_stack: RunningStack, caller: Caller
) -> None:
    about = dispute()
    body = encoded(payment_event("charge.dispute.created", about))
    headers = stripe_headers(Home(own_stack.home).secrets().payments_webhook_secret, body)

    with frozen(own_stack, "worker", "temporal"):
        answer = await caller.http.post("/v1/inbound/payments", content=body, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"received": True})
        # As by a kill: the lost worker has processed nothing, and its successor does.
        family(own_stack, "worker")[0].kill()

    engine = create_engine(own_stack.database_url, connections=1, application_name="test")
    items = select(attention_items.c.kind).where(attention_items.c.source == about["id"])
    async with asyncio.timeout(WITHIN_S), engine.connect() as connection:
        while (await connection.scalars(items)).all() != ["dispute"]:
            await asyncio.sleep(POLL_S)
    await engine.dispose()
    await until_ready(caller)


async def test_an_event_is_refused_while_postgres_is_away_and_kept_when_it_is_sent_again(
    own_stack: RunningStack, caller: Caller
) -> None:
    body = encoded(payment_event("charge.dispute.created", dispute()))
    headers = stripe_headers(Home(own_stack.home).secrets().payments_webhook_secret, body)

    with frozen(own_stack, "postgres"):
        refused = await caller.http.post("/v1/inbound/payments", content=body, headers=headers)
        assert_problem(refused, 503, "temporarily_unavailable")
    await until_ready(caller)

    assert (await caller.http.post("/v1/inbound/payments", content=body, headers=headers)).status_code == 200


async def test_a_database_that_was_not_migrated_is_not_ready(own_stack: RunningStack, caller: Caller) -> None:
    engine = create_engine(own_stack.database_url, connections=1, application_name="test")
    rename = "ALTER TABLE followthrough.{} RENAME TO {}"
    async with engine.connect() as connection:
        await connection.exec_driver_sql(rename.format("orders", "orders_away"))
        await connection.commit()
        try:
            status, checks = await readiness(caller)
            assert (status, checks["temporal"]) == (503, "ok")
            assert checks["postgres"] != "ok"
            assert_problem(await caller.get("/v1/orders"), 503, "temporarily_unavailable")
        finally:
            await connection.exec_driver_sql(rename.format("orders_away", "orders"))
            await connection.commit()
    await engine.dispose()
    await until_ready(caller)
