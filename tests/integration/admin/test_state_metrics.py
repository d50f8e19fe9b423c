"""What the API shows of the state of books, queues and schedules: as it is, or not at all."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import time
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from api.metrics import pools_shown
from api.queue_keeping import QueueKeeper
from api.schedule_keeping import ScheduleKeeper
from api.state_metrics import StateMetrics
from contracts.attention import AttentionItem, AttentionKind
from contracts.dead_letters import DeadLetterFilter, DeadLetterKind
from contracts.orders import OrderStatus
from database.attention import AttentionRepository
from database.audit import AuditLog
from database.dead_letters import DeadLetters
from database.engine import PoolUse, create_engine, pool_use
from database.tallies import Tallies
from tests.shop import Shop
from workflows.schedules import schedules

NOBODY_LISTENS = 1
# Two of each kind, of which one was discarded; and one that is none.
LETTERS = """
    WITH jobs AS (
        INSERT INTO followthrough.jobs
            (id, type, subject, arguments, queue, priority, status, run_at, finished_at)
        SELECT 'job_' || lpad(number::text, 20, '0') || :mark, 'diagnostics.echo', :mark, '{}', 'jobs', 3, status,
            now(), now()
        FROM unnest(ARRAY['failed', 'timed_out', 'succeeded']) WITH ORDINALITY AS one (status, number)
    ), mails AS (
        INSERT INTO followthrough.mails (message_id, id, outcome, at)
        SELECT '<acct_' || number || :mark || '.welcome.1@x>', 'mail_' || lpad(number::text, 20, '0') || :mark, outcome,
            now()
        FROM unnest(ARRAY['bounced', 'bounced', 'sent']) WITH ORDINALITY AS one (outcome, number)
    ), endpoints AS (
        INSERT INTO followthrough.webhook_endpoints
            (id, owner, url, event_types, status, disabled_reason, disabled_at, secrets)
        SELECT 'whe_' || lpad(number::text, 20, '0') || :mark, :mark, 'https://example.com', '{}', 'disabled', reason,
            at, '[]'
        FROM unnest(ARRAY['gone', 'failing', 'owner'], ARRAY[now(), NULL, NULL])
            WITH ORDINALITY AS one (reason, at, number)
    )
    INSERT INTO followthrough.discarded_letters (id, since)
    SELECT kind || lpad(number::text, 20, '0') || :mark, since
    FROM (VALUES
        ('job_', 1, now()), ('mail_', 1, now()), ('whe_', 1, now()),
        -- That was before it failed anew.
        ('job_', 2, now() - interval '1 day')
    ) AS one (kind, number, since)
"""
GONE = """
    DELETE FROM followthrough.{table} WHERE id LIKE '%' || :mark
"""


@pytest.fixture
async def engine(shop: Shop) -> AsyncEngine:
    return shop.engine


@asynccontextmanager
async def letters(engine: AsyncEngine) -> AsyncIterator[None]:
    mark = uuid4().hex[:6]
    async with engine.begin() as connection:
        await connection.execute(text(LETTERS), {"mark": mark})
    try:
        yield
    finally:
        async with engine.begin() as connection:
            for table in ("jobs", "mails", "webhook_endpoints", "discarded_letters"):
                await connection.execute(text(GONE.format(table=table)), {"mark": mark})


def state_of(engine: AsyncEngine, client: Client) -> StateMetrics:
    declared = schedules(digest_at=time(8), digest_zone="UTC")
    keeper = ScheduleKeeper(client, declared, AuditLog(engine))
    return StateMetrics(Tallies(engine), DeadLetters(engine), QueueKeeper(client), keeper)


async def read(state: StateMetrics, source: str) -> Mapping[str, Mapping[str, float]]:
    """What is shown after this source was read: for each metric, values by their labels."""
    [found] = [one for one in state.sources if one.name == source]
    await state.read(found)
    return {
        metric.name: {",".join(sample.labels.values()): sample.value for sample in metric.samples}
        for metric in state.collect()
    }


def reads(source: str, outcome: str) -> float:
    found = REGISTRY.get_sample_value("followthrough_state_reads_total", {"source": source, "outcome": outcome})
    assert found is not None
    return found


async def test_dead_letters_are_tallied_as_they_are_listed(engine: AsyncEngine) -> None:
    found = DeadLetters(engine)
    before = await found.tally(1_000)
    async with letters(engine):
        after = await found.tally(1_000)

        listed = Counter[DeadLetterKind]()
        for one in await found.counts(DeadLetterFilter()):
            listed[one.kind] += one.count
        assert {kind: count for kind, count in after.items() if count} == dict(listed)
        rises = {kind: after[kind] - before[kind] for kind in DeadLetterKind}
        assert rises == {
            DeadLetterKind.JOB: 1,
            DeadLetterKind.MAIL: 1,
            DeadLetterKind.WEBHOOK_ENDPOINT: 1,
            DeadLetterKind.ORDER: 0,
        }
        assert (await found.tally(1))[DeadLetterKind.MAIL] == 1


async def test_orders_and_items_that_are_not_over_are_counted(shop: Shop) -> None:
    state = state_of(shop.engine, shop.client)
    before = await read(state, "books")

    order = await shop.place(quantity=2, approval_threshold=1)
    await order.until(OrderStatus.AWAITING_APPROVAL)
    item = AttentionItem(kind=AttentionKind.DISPUTE, source=uuid4().hex, order_id=None, detail="a test's")
    assert await AttentionRepository(shop.engine).open(item)
    after = await read(state, "books")
    await order.cancel()

    orders, items = "followthrough_orders", "followthrough_attention_items"
    assert set(after[orders]) == {status for status in OrderStatus if not status.is_final}
    assert after[orders]["awaiting_approval"] - before[orders]["awaiting_approval"] == 1
    assert after[items]["dispute"] - before[items]["dispute"] == 1
    assert set(after["followthrough_jobs"]) == {"scheduled", "queued", "running", "retrying"}
    assert await AttentionRepository(shop.engine).close_others(AttentionKind.DISPUTE, []) >= 1


async def test_what_cannot_be_read_is_shown_no_more_and_says_so(shop: Shop) -> None:
    nowhere = create_engine(
        f"postgresql://nobody:x@127.0.0.1:{NOBODY_LISTENS}/x", connections=1, application_name="nowhere"
    )
    away = state_of(nowhere, await Client.connect(f"127.0.0.1:{NOBODY_LISTENS}", lazy=True))
    state = state_of(shop.engine, shop.client)
    await read(state, "books")
    assert {"followthrough_orders", "followthrough_queue_depth"} <= (await read(state, "queues")).keys()
    failed = {source: reads(source, "failed") for source in ("books", "queues")}

    await state.read(away.sources[0])
    assert "followthrough_queue_depth" in {metric.name for metric in state.collect()}
    assert "followthrough_orders" not in {metric.name for metric in state.collect()}
    await state.read(away.sources[1])

    assert list(state.collect()) == []
    assert {source: reads(source, "failed") - failed[source] for source in failed} == {"books": 1, "queues": 1}
    await nowhere.dispose()


async def test_a_pool_is_shown_as_it_is_used(shop: Shop) -> None:
    url = shop.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    engine = create_engine(url, connections=2, application_name="counted")
    assert pool_use(engine) == PoolUse(used=0, limit=2)
    with pools_shown({"counted": engine}):
        async with engine.connect():
            shown = REGISTRY.get_sample_value("followthrough_database_connections_used", {"pool": "counted"})
            assert shown == pool_use(engine).used == 1
    assert pool_use(engine).used == 0
    await engine.dispose()


async def test_schedules_are_shown_as_temporal_has_them(shop: Shop) -> None:
    shown = await read(state_of(shop.engine, shop.client), "schedules")

    assert shown["followthrough_schedule_interval_seconds"]["stuck-orders"] == pytest.approx(300, abs=60)
    assert shown["followthrough_schedule_interval_seconds"]["daily-digest"] == pytest.approx(86_400, abs=60)
    assert set(shown["followthrough_schedule_paused"].values()) <= {0, 1}
    assert len(shown["followthrough_schedule_last_run_timestamp_seconds"]) == 5
