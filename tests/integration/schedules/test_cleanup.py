"""Clean-up takes what is past its time, in small steps, and nothing else."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Table, func, select
from ulid import ULID

from contracts.attention import AttentionKind
from contracts.ids import job_id_after, new_endpoint_id
from contracts.orders import OrderStatus
from database.cleanup import BATCH, CleanupRepository
from database.tables import (
    audit_log,
    bulk_actions,
    bulk_items,
    discarded_letters,
    inbound_events,
    job_batches,
    job_keys,
    jobs,
    reservations,
    sign_ups,
    webhook_deliveries,
    webhook_endpoints,
)
from tests.acceptance.client import Caller
from tests.schedules import items_about, run_now
from tests.shop import POLL_S, WITHIN_S, Shop
from tests.upkeep_faults import breaking

KEPT = timedelta(days=30)


def id_of(prefix: str, at: datetime) -> str:
    return f"{prefix}_{ULID.from_datetime(at)}"


async def insert(shop: Shop, table: Table, *rows: dict[str, Any]) -> None:
    async with shop.engine.begin() as connection:
        await connection.execute(table.insert(), list(rows))


async def left(shop: Shop, table: Table, column: str, value: str) -> int:
    """How many rows have this value."""
    query = select(func.count()).select_from(table).where(table.c[column] == value)
    async with shop.engine.connect() as connection:
        return int(await connection.scalar(query) or 0)


def job(subject: str, finished: timedelta | None, *, created: timedelta | None = None) -> dict[str, Any]:
    """A job that ended so long ago, or lives, and was asked for then, too, unless told."""
    now = datetime.now(UTC)
    begun = now - (created or finished or timedelta())
    return {
        "id": id_of("job", begun),
        "type": "diagnostics.echo",
        "subject": subject,
        "arguments": "{}",
        "queue": "jobs",
        "priority": 3,
        "status": "scheduled" if finished is None else "succeeded",
        "run_at": begun + timedelta(days=365) if finished is None else begun,
        "created_at": begun,
        "finished_at": None if finished is None else now - finished,
    }


def batch(subject: str, age: timedelta) -> dict[str, Any]:
    """A batch of two that was asked for so long ago."""
    asked_at = datetime.now(UTC) - age
    return {
        "id": id_of("bat", asked_at),
        "type": "diagnostics.echo",
        "subject": subject,
        "queue": "jobs",
        "priority": 3,
        "total": 2,
        "key_hash": uuid4().hex,
        "request_hash": "0" * 64,
        "created_at": asked_at,
    }


def key_of(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "subject": row["subject"],
        "key_hash": uuid4().hex,
        "request_hash": "0" * 64,
        "job_id": row["id"],
        "created_at": row["created_at"],
    }


async def test_jobs_long_over_go_with_all_of_their_keys(shop: Shop) -> None:
    subject = f"cleaned-{uuid4().hex}"
    old = job(subject, KEPT + timedelta(hours=1))
    lately_over = job(subject, KEPT - timedelta(hours=1), created=KEPT + timedelta(days=10))
    live = job(subject, None, created=KEPT + timedelta(days=10))
    followed_it = old | {"id": job_id_after(old["id"], "diagnostics.echo")}
    await insert(shop, jobs, old, followed_it, lately_over, live)
    # Somebody else was answered with the same job, under the unique key.
    await insert(shop, job_keys, key_of(old), key_of(old), key_of(lately_over), key_of(live))

    run = await run_now(shop, "cleanup-expired")

    async with shop.engine.connect() as connection:
        kept = set((await connection.scalars(select(jobs.c.id).where(jobs.c.subject == subject))).all())
        keys = set((await connection.scalars(select(job_keys.c.job_id).where(job_keys.c.subject == subject))).all())
    assert kept == keys == {lately_over["id"], live["id"]}
    assert (await run.summary()).startswith("0 reports; 2 jobs; ")


async def test_a_batch_goes_together_with_its_jobs_once_all_of_them_are_long_over(shop: Shop) -> None:
    subject = f"cleaned-{uuid4().hex}"
    old, lately = KEPT + timedelta(days=1), KEPT - timedelta(days=1)
    batches = [*_, lives, lately_over] = [batch(subject, old) for _ in range(4)]
    first = [job(subject, old) for _ in batches]
    second = [job(subject, old), job(subject, old), job(subject, None, created=old), job(subject, lately, created=old)]
    await insert(shop, job_batches, *batches)
    for item, rows in enumerate((first, second)):
        in_batch = zip(rows, batches, strict=True)
        await insert(shop, jobs, *(row | {"batch_id": made["id"], "batch_item": item} for row, made in in_batch))

    await run_now(shop, "cleanup-expired")

    async with shop.engine.connect() as connection:
        left_in = list(await connection.scalars(select(jobs.c.batch_id).where(jobs.c.subject == subject)))
    # Whole, so that what they say of themselves stays true.
    assert sorted(left_in) == sorted([lives["id"], lately_over["id"]] * 2)
    assert await left(shop, job_batches, "subject", subject) == 2


async def test_bulk_actions_long_ended_go_with_their_items_and_the_audit_log_stays(shop: Shop) -> None:
    now, actor = datetime.now(UTC), f"cleaned-{uuid4().hex}"
    old, lately = KEPT + timedelta(days=1), KEPT - timedelta(days=1)

    def bulk(asked: timedelta, finished: timedelta | None) -> dict[str, Any]:
        return {
            "id": id_of("blk", now - asked),
            "action": "retry",
            "filter": {},
            "per_second": 1,
            "total": 1,
            "actor": actor,
            "note": "",
            "request_id": "",
            "key_hash": uuid4().hex,
            "request_hash": "0" * 64,
            "created_at": now - asked,
            "cancel_requested_at": None if finished is None else now - finished,
            "finished_at": None if finished is None else now - finished,
        }

    gone, lately_over = [bulk(old, old), bulk(old, old)], bulk(old, lately)
    bulks = [*gone, lately_over]
    await insert(shop, bulk_actions, *bulks)
    subject = {"subject": "whe_gone", "kind": "webhook_endpoint", "outcome": "done"}
    await insert(shop, bulk_items, *({"bulk_id": one["id"], "number": 1} | subject for one in bulks))
    entry = {"id": id_of("aud", now - old), "actor": actor, "action": "bulk.start", "subject": gone[0]["id"]}
    await insert(shop, audit_log, entry | {"note": "", "request_id": "", "created_at": now - old})

    run = await run_now(shop, "cleanup-expired")

    assert (await run.summary()).endswith("; 2 bulk actions")
    async with shop.engine.connect() as connection:
        kept = (await connection.scalars(select(bulk_actions.c.id).where(bulk_actions.c.actor == actor))).all()
        of_ours = bulk_items.c.bulk_id.in_([one["id"] for one in bulks])
        items = (await connection.scalars(select(bulk_items.c.bulk_id).where(of_ours))).all()
    assert kept == items == [lately_over["id"]]
    assert await left(shop, audit_log, "actor", actor) == 1


async def test_a_batch_without_jobs_is_shown(shop: Shop, operator: Caller) -> None:
    """An earlier version deleted its jobs one by one."""
    without = batch("somebody", timedelta(days=1))
    await insert(shop, job_batches, without)

    answer = await operator.get(f"/v1/jobs/batch/{without['id']}")

    assert answer.status_code == 200, answer.text
    assert answer.json()["progress"] == {"done": 0, "total": 2}


async def test_what_an_operator_discarded_is_forgotten_with_its_job(shop: Shop) -> None:
    subject = f"cleaned-{uuid4().hex}"
    old, young = KEPT + timedelta(days=1), timedelta(days=1)
    made = batch(subject, old)
    alone, kept = job(subject, old), job(subject, young)
    in_batch = job(subject, old) | {"batch_id": made["id"], "batch_item": 0}
    await insert(shop, job_batches, made)
    await insert(shop, jobs, alone, in_batch, kept)
    letters = [{"id": row["id"], "since": row["finished_at"]} for row in (alone, in_batch, kept)]
    await insert(shop, discarded_letters, *letters)

    await run_now(shop, "cleanup-expired")

    query = select(discarded_letters.c.id).where(discarded_letters.c.id.in_([letter["id"] for letter in letters]))
    async with shop.engine.connect() as connection:
        assert (await connection.scalars(query)).all() == [kept["id"]]


async def test_many_go_a_thousand_in_a_transaction(shop: Shop) -> None:
    subject = f"cleaned-{uuid4().hex}"
    await insert(shop, jobs, *(job(subject, KEPT + timedelta(days=1)) for _ in range(2 * BATCH + 500)))
    before = datetime.now(UTC) - KEPT

    first = await CleanupRepository(shop.engine).forget_jobs(before)
    after_first = await left(shop, jobs, "subject", subject)
    run = await run_now(shop, "cleanup-expired")

    assert first.rows == BATCH
    assert after_first == BATCH + 500
    assert await left(shop, jobs, "subject", subject) == 0
    assert (await run.summary()).startswith(f"0 reports; {BATCH + 500} jobs; ")


async def test_one_that_somebody_holds_is_left_for_the_next_run(shop: Shop) -> None:
    subject = f"cleaned-{uuid4().hex}"
    held, free = job(subject, KEPT + timedelta(days=1)), job(subject, KEPT + timedelta(days=1))
    await insert(shop, jobs, held, free)

    async with shop.engine.begin() as connection:
        await connection.execute(select(jobs.c.id).where(jobs.c.id == held["id"]).with_for_update())
        await run_now(shop, "cleanup-expired")
        async with shop.engine.connect() as another:
            beside = (await another.scalars(select(jobs.c.id).where(jobs.c.subject == subject))).all()
    await run_now(shop, "cleanup-expired")

    assert beside == [held["id"]]
    assert await left(shop, jobs, "subject", subject) == 0


async def test_deliveries_and_old_secrets_of_webhooks(shop: Shop) -> None:
    now = datetime.now(UTC)
    endpoint, old, pending, lately = new_endpoint_id(), *(id_of("whd", now - 2 * KEPT) for _ in range(3))
    valid = {"secret": "whsec_valid", "expires_at": (now + timedelta(hours=1)).isoformat()}
    expired = {"secret": "whsec_expired", "expires_at": (now - timedelta(hours=1)).isoformat()}
    lasting = {"secret": "whsec_lasting", "expires_at": None}
    await insert(
        shop,
        webhook_endpoints,
        {
            "id": endpoint,
            "owner": "somebody",
            "url": "https://example.com",
            "event_types": ["*"],
            "status": "disabled",
            "disabled_reason": "owner",
            "secrets": [lasting, valid, expired],
        },
    )

    def delivery(delivery_id: str, status: str, ago: timedelta) -> dict[str, Any]:
        return {
            "id": delivery_id,
            "endpoint_id": endpoint,
            "event_key": delivery_id,
            "webhook_id": delivery_id,
            "event_type": "order.completed",
            "body": "{}",
            "status": status,
            "updated_at": now - ago,
        }

    await insert(
        shop,
        webhook_deliveries,
        delivery(old, "failed", KEPT + timedelta(hours=1)),
        delivery(pending, "pending", KEPT + timedelta(hours=1)),
        delivery(lately, "succeeded", KEPT - timedelta(hours=1)),
    )

    await run_now(shop, "cleanup-expired")

    async with shop.engine.connect() as connection:
        of_endpoint = select(webhook_deliveries.c.id).where(webhook_deliveries.c.endpoint_id == endpoint)
        kept = set((await connection.scalars(of_endpoint)).all())
        secrets = await connection.scalar(select(webhook_endpoints.c.secrets).where(webhook_endpoints.c.id == endpoint))
    assert kept == {pending, lately}
    assert secrets == [lasting, valid]


async def test_bodies_that_nobody_understood_go_and_their_events_stay_known(shop: Shop) -> None:
    now = datetime.now(UTC)
    mark = uuid4().hex

    def event(name: str, ago: timedelta, processed: bool) -> dict[str, Any]:
        return {
            "provider": "payments",
            "event_id": f"{name}-{mark}",
            "type": "unheard.of",
            "body": "{}",
            "received_at": now - ago,
            "processed_at": now - ago if processed else None,
        }

    await insert(
        shop,
        inbound_events,
        event("old", KEPT + timedelta(hours=1), True),
        event("unprocessed", KEPT + timedelta(hours=1), False),
        event("young", KEPT - timedelta(hours=1), True),
    )

    await run_now(shop, "cleanup-expired")

    query = select(inbound_events.c.event_id, inbound_events.c.body).where(inbound_events.c.event_id.endswith(mark))
    async with shop.engine.connect() as connection:
        bodies = {row.event_id.partition("-")[0]: row.body for row in await connection.execute(query)}
    assert bodies == {"old": "", "unprocessed": "{}", "young": "{}"}


async def test_keys_of_sign_ups(shop: Shop) -> None:
    account, now = f"acct_{uuid4().hex[:26]}", datetime.now(UTC)
    rows = [
        {
            "key_hash": uuid4().hex,
            "request_hash": "0" * 64,
            "account_id": account,
            "created_at": now - timedelta(days=n),
        }
        for n in (6, 8)
    ]
    await insert(shop, sign_ups, *rows)

    await run_now(shop, "cleanup-expired")

    async with shop.engine.connect() as connection:
        kept = (await connection.scalars(select(sign_ups.c.key_hash).where(sign_ups.c.account_id == account))).all()
    assert kept == [rows[0]["key_hash"]]


async def test_stock_held_by_an_order_that_is_over_is_reported_once_and_stays_held(shop: Shop) -> None:
    fine, orphaned = await shop.place(), await shop.place()
    for order in (fine, orphaned):
        assert (await order.settled()).status is OrderStatus.COMPLETED

    async def become(state: str) -> None:
        change = reservations.update().where(reservations.c.order_id == orphaned.id).values(state=state)
        async with shop.engine.begin() as connection:
            await connection.execute(change)

    await become("held")
    source = f"{orphaned.id}/{orphaned.sku}/wh_default"
    await run_now(shop, "cleanup-expired")
    await run_now(shop, "cleanup-expired")

    [item] = await items_about(shop, source, f"{fine.id}/{fine.sku}/wh_default")
    assert (item.kind, item.order_id, item.closed_at) == (AttentionKind.ORPHANED_RESERVATION, orphaned.id, None)
    assert item.detail == f"{orphaned.id} is completed, and holds 1 of {orphaned.sku} in wh_default"
    assert (await orphaned.evidence()).reservations == {"held"}

    await become("shipped")
    await run_now(shop, "cleanup-expired")
    [item] = await items_about(shop, source)
    assert item.closed_at is not None


async def test_what_fails_is_shown_and_keeps_nothing_else_from_being_cleaned(shop: Shop, operator: Caller) -> None:
    subject = f"cleaned-{uuid4().hex}"
    await insert(shop, jobs, job(subject, KEPT + timedelta(days=1)))
    path = "/v1/admin/schedules/cleanup-expired"
    earlier = {run["run_id"] for run in (await operator.get(path)).json()["last_runs"]}

    async with asyncio.timeout(WITHIN_S), breaking(shop, "sign_ups"):
        assert (await operator.post(f"{path}/trigger")).status_code == 202
        while True:
            runs = (await operator.get(path)).json()["last_runs"]
            ended = [run for run in runs if run["run_id"] not in earlier and run["outcome"] != "running"]
            if ended:
                break
            await asyncio.sleep(POLL_S)

    assert ended[0]["outcome"] == "failed"
    assert ended[0]["summary"].startswith("forget_sign_up_keys failed: ")
    assert "1 jobs" in ended[0]["summary"]
    assert await left(shop, jobs, "subject", subject) == 0
