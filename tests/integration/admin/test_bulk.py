"""Many dead letters retried or resolved by one request: what is shown before, how fast it goes, and what is left."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import database.bulk
import database.dead_letters
from activities.bulk import BulkActivities
from api.bulk_bodies import BulkBody
from api.bulk_keeping import BulkKeeper
from api.dead_letter_bodies import MAX_SWEPT
from api.errors import CountDiffers
from contracts.audit import Act
from contracts.bulk import BulkOutcome, NextOfBulk
from contracts.dead_letters import DeadLetterFilter
from contracts.ids import bulk_workflow_id, new_bulk_id, order_id_for, order_workflow_id
from contracts.operators import RetryOrder
from contracts.orders import OrderStatus
from contracts.webhooks import EndpointStatus
from database.bulk import BulkRepository
from database.dead_letters import CountDiffers as Differs
from database.dead_letters import DeadLetters, expect
from database.tables import bulk_actions, bulk_items, outbox
from tests.acceptance.client import Caller, Door, assert_problem, new_key
from tests.bulk import BULK, StartedBulk, another, ask_for, dead_endpoints, started
from tests.endpoints import ShopEndpoint
from tests.jobs import accepted
from tests.letters import audited, dead, poison
from tests.shop import POLL_S, WITHIN_S, Shop, ShopOrder

UNKNOWN = f"{BULK}/blk_00000000000000000000000000"
Retried = Callable[[Shop, DeadLetterFilter, int], Awaitable[None]]
ACT = Act(actor="olga", note="as many as that")
COUNTS = {"pending": 0, "done": 0, "skipped": 0, "failed": 0, "cancelled": 0}
FOR_LONG = 1_000
ANSWERS_WITHIN = timedelta(seconds=1.5)
TAKEN_UP = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED


async def parked_orders(shop: Shop, count: int) -> list[ShopOrder]:
    """Orders of a customer who has no others, which the carrier did not take. It is well again by now."""
    customer = f"customer-{uuid4().hex}"
    orders = [await shop.order(retry_window_s=1, customer_id=customer) for _ in range(count)]
    for order in orders:
        await order.meets("ship", "error_before", times=FOR_LONG)
        await order.start()
    for order in orders:
        await order.parked()
    await shop.ledger.behave()
    return orders


async def test_a_preview_counts_and_shows_the_oldest_and_does_nothing(shop: Shop, operator: Caller) -> None:
    endpoints = await dead_endpoints(shop, 12)
    wanted = {"subject": endpoints[0].owner, "kind": "webhook_endpoint", "reason": "gone", "older_than_s": 60}

    answer = await operator.post(f"{BULK}/preview", json={"action": "retry", "filter": wanted})

    assert answer.status_code == 200, answer.text
    preview = answer.json()
    assert preview["matching"] == 12
    assert [(one["kind"], one["reason"], one["count"]) for one in preview["counts"]] == [
        ("webhook_endpoint", "gone", 12)
    ]
    assert [one["id"] for one in preview["sample"]] == [endpoint.id for endpoint in endpoints[:10]]
    assert (await dead(operator, subject=endpoints[0].owner))["total"] == 12
    for other in ({"action": "resolve", "filter": {"subject": endpoints[0].owner}},):
        assert (await operator.post(f"{BULK}/preview", json=other)).json()["matching"] == 0


async def test_all_are_retried_no_faster_than_told_and_each_is_audited(shop: Shop, operator: Caller) -> None:
    endpoints = await dead_endpoints(shop, 5)
    wanted = {"subject": endpoints[0].owner}

    bulk = await started(operator, wanted, expected=5, per_second=2, note="they are back")
    done = await bulk.finished()

    assert done["counts"] == COUNTS | {"done": 5}
    assert (done["total"], done["not_done"], done["cancel_requested"]) == (5, [], False)
    assert (done["action"], done["filter"], done["actor"]) == ("retry", wanted, "olga")
    assert done["finished_at"] >= done["created_at"]
    for endpoint in endpoints:
        assert (await endpoint.found()).status is EndpointStatus.ACTIVE
        [entry] = await audited(operator, subject=endpoint.id)
        assert (entry["action"], entry["actor"], entry["note"]) == ("webhook_endpoint.retry", "olga", "they are back")
        assert (entry["request_id"], entry["from_address"]) == (bulk.request_id, "127.0.0.1")
    async with shop.engine.connect() as connection:
        query = select(bulk_items.c.settled_at).where(bulk_items.c.bulk_id == bulk.id).order_by(bulk_items.c.settled_at)
        times = list((await connection.scalars(query)).all())
    # The third waits for the first's second, and the fifth for the third's; a turn takes its time to begin.
    assert (times[2] - times[0]).total_seconds() >= 0.9
    assert (times[4] - times[2]).total_seconds() >= 0.9


async def test_it_is_accepted_once_for_a_key(shop: Shop, operator: Caller) -> None:
    endpoints = await dead_endpoints(shop, 1)
    wanted, key = {"subject": endpoints[0].owner}, new_key()

    answers = await asyncio.gather(*(ask_for(operator, wanted, key=key, expected=1) for _ in range(5)))
    again = await ask_for(operator, wanted, key=key, expected=1)

    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [202]
    assert len({answer.json()["id"] for answer in (*answers, again)}) == 1
    assert again.headers["idempotent-replayed"] == "true"
    assert_problem(await ask_for(operator, wanted, key=key, limit=1), 422, "idempotency_key_reused")
    body = {"action": "retry", "filter": wanted, "limit": 1}
    assert_problem(await operator.post(BULK, json=body), 400, "idempotency_key_missing")
    assert (await StartedBulk(operator, again.json()["id"], "").finished())["counts"] == COUNTS | {"done": 1}
    assert len(await audited(operator, subject=endpoints[0].id)) == 1


async def test_nothing_is_done_when_there_are_not_as_many_as_expected(shop: Shop, operator: Caller) -> None:
    endpoints = await dead_endpoints(shop, 2)
    wanted, key = {"subject": endpoints[0].owner}, new_key()

    problem = assert_problem(await ask_for(operator, wanted, key=key, expected=3), 409, "count_differs")

    assert "2" in problem["detail"]
    assert (await dead(operator, **wanted))["total"] == 2
    # The key was not used up.
    assert (await ask_for(operator, wanted, key=key, limit=1)).json()["total"] == 1


async def retried_in_bulk(shop: Shop, wanted: DeadLetterFilter, expected: int) -> None:
    asked = {"action": "retry", "filter": wanted.model_dump(exclude_none=True), "expected": expected}
    bulks = BulkKeeper(BulkRepository(shop.engine), DeadLetters(shop.engine))
    await bulks.accept(new_key(), BulkBody.model_validate(asked), ACT)


async def retried_at_once(shop: Shop, wanted: DeadLetterFilter, expected: int) -> None:
    await DeadLetters(shop.engine).retry_all(wanted, ACT, expected=expected, limit=MAX_SWEPT)


@pytest.mark.parametrize(
    ("retried", "counted_in"), [(retried_in_bulk, database.bulk), (retried_at_once, database.dead_letters)]
)
async def test_when_one_more_fails_just_after_they_were_counted_nothing_is_done(
    shop: Shop, operator: Caller, monkeypatch: pytest.MonkeyPatch, retried: Retried, counted_in: ModuleType
) -> None:
    endpoints = await dead_endpoints(shop, 2)
    late: list[ShopEndpoint] = []

    async def counted(connection: AsyncConnection, wanted: DeadLetterFilter, expected: int | None) -> int:
        found = await expect(connection, wanted, expected)
        late.append(await another(endpoints[0], shop))
        return found

    monkeypatch.setattr(counted_in, "expect", counted)
    with pytest.raises((CountDiffers, Differs)):
        await retried(shop, DeadLetterFilter(subject=endpoints[0].owner), 2)

    assert len(late) == 1
    for endpoint in (*endpoints, *late):
        assert (await endpoint.found()).status is EndpointStatus.DISABLED
        assert await audited(operator, subject=endpoint.id) == []


async def test_a_cancelled_one_leaves_the_rest(shop: Shop, operator: Caller) -> None:
    endpoints = await dead_endpoints(shop, 3)
    bulk = await started(operator, {"subject": endpoints[0].owner}, expected=3, per_second=0.1)
    await bulk.until(lambda now: now["counts"]["done"] == 1)

    answer = await operator.post(f"{BULK}/{bulk.id}/cancel", json={"note": "wrong ones"})
    again = await operator.post(f"{BULK}/{bulk.id}/cancel")

    cancelled = answer.json()
    assert (cancelled["status"], cancelled["cancel_requested"]) == ("finished", True)
    assert cancelled["counts"] == COUNTS | {"done": 1, "cancelled": 2}
    assert again.json() == cancelled
    statuses = [(await endpoint.found()).status for endpoint in endpoints]
    assert statuses == [EndpointStatus.ACTIVE, EndpointStatus.DISABLED, EndpointStatus.DISABLED]
    assert [entry["action"] for entry in await audited(operator, subject=bulk.id)] == ["bulk.cancel", "bulk.start"]


async def test_one_whose_process_somebody_terminates_fails_and_is_resumed(shop: Shop, operator: Caller) -> None:
    endpoints = await dead_endpoints(shop, 3)
    bulk = await started(operator, {"subject": endpoints[0].owner}, expected=3, per_second=0.1)
    await bulk.until(lambda now: now["counts"]["done"] == 1)
    assert_problem(await operator.post(f"{BULK}/{bulk.id}/resume"), 409, "nothing_to_resume")

    await shop.client.get_workflow_handle(bulk_workflow_id(bulk.id)).terminate()
    failed = await bulk.until(lambda now: now["status"] != "running")
    # Two more were to wait for 10 s each.
    async with shop.engine.begin() as connection:
        await connection.execute(update(bulk_actions).where(bulk_actions.c.id == bulk.id).values(per_second=50))
    resumed = await operator.post(f"{BULK}/{bulk.id}/resume", json={"note": "a slip"})
    done = await bulk.finished()

    assert (failed["status"], failed["failure"]["code"]) == ("failed", "process_terminated")
    assert failed["counts"] == COUNTS | {"done": 1, "cancelled": 2}
    assert (failed["cancel_requested"], failed["finished_at"] is not None) == (False, True)
    assert resumed.status_code == 200, resumed.text
    assert (resumed.json()["failure"], resumed.json()["status"]) == (None, "running")
    assert (done["counts"], done["failure"]) == (COUNTS | {"done": 3}, None)
    for endpoint in endpoints:
        assert [entry["action"] for entry in await audited(operator, subject=endpoint.id)] == ["webhook_endpoint.retry"]
    assert_problem(await operator.post(f"{BULK}/{bulk.id}/resume"), 409, "nothing_to_resume")


async def test_what_cannot_be_retried_is_skipped_with_the_reason(door: Door, operator: Caller) -> None:
    owner = door.customer("jobs:write")
    job, taken = await asyncio.gather(poison(owner, fail_times=5), poison(owner, unique_key="taken"))
    other = await accepted(owner, unique_key="taken", delay_s=3_600)

    wanted = {"subject": owner.subject, "type": "diagnostics.echo"}
    done = await (await started(operator, wanted, expected=2)).finished()

    assert done["counts"] == COUNTS | {"done": 1, "skipped": 1}
    assert done["not_done"] == [{"id": taken["id"], "outcome": "skipped", "code": "unique_key_taken"}]
    assert len(await audited(operator, subject=job["id"])) == 1
    assert await audited(operator, subject=taken["id"]) == []
    assert (await dead(operator, type="another", subject=owner.subject))["total"] == 0
    await owner.post(other["links"]["cancel"])


async def test_parked_orders_are_resolved_unless_our_books_contradict(shop: Shop, operator: Caller) -> None:
    orders = await parked_orders(shop, 2)
    wanted = {"subject": orders[0].placed.customer_id}

    refused = await started(operator, wanted, action="resolve", status="completed", expected=2)
    left = await refused.finished()
    resolved = await started(operator, wanted, action="resolve", status="cancelled", expected=2, note="by telephone")
    done = await resolved.finished()

    assert left["counts"] == COUNTS | {"skipped": 2}
    assert {one["code"] for one in left["not_done"]} == {"books_contradict"}
    assert done["counts"] == COUNTS | {"done": 2}
    for order in orders:
        evidence = await order.settled_evidence()
        assert (evidence.status, evidence.effects.money_kept) == (OrderStatus.CANCELLED, 0)
        [entry] = await audited(operator, subject=order.id)
        assert (entry["action"], entry["note"]) == ("order.resolve", "by telephone")
        assert entry["request_id"] == resolved.request_id


async def test_an_order_is_told_once_and_what_went_on_meanwhile_is_skipped(shop: Shop, operator: Caller) -> None:
    """A worker may die after an order was told and before that was written down."""
    told, gone = await parked_orders(shop, 2)
    await gone.retry()
    await gone.settled()
    bulk_id, act = new_bulk_id(), Act(actor="olga", note="again", request_id=uuid4().hex)
    asked = {"action": "retry", "filter": {}, "per_second": 1, "total": 2, "key_hash": bulk_id, "request_hash": ""}
    items = [
        {"bulk_id": bulk_id, "number": number, "subject": one.id, "kind": "order"}
        for number, one in ((1, told), (2, gone))
    ]
    async with shop.engine.begin() as connection:
        await connection.execute(bulk_actions.insert().values(id=bulk_id, **asked, **act.model_dump()))
        await connection.execute(bulk_items.insert(), items)
        # Its process is yet to be started, for all that those know who look for processes that are gone.
        await connection.execute(outbox.insert().values(aggregate=f"bulk/{bulk_id}", kind="of_later", payload={}))
    bulk_id = new_bulk_id()
    await accept(shop, bulk_id, told.id, gone.id)
    bulks = BulkRepository(shop.engine)
    process = BulkActivities(bulks, shop.client)

    for _ in range(2):
        turn = await process.do_next_of_bulk(NextOfBulk(bulk_id=bulk_id, limit=2))

        assert (turn.tried, turn.pending) == (2, 0)
        progress = await bulks.progress(bulk_id, shown=9)
        assert progress.counts == {BulkOutcome.DONE: 1, BulkOutcome.SKIPPED: 1}
        assert [(one.id, one.code) for one in progress.not_done] == [(gone.id, "not_parked")]
        assert (await told.settled()).status is OrderStatus.COMPLETED
        assert len(await audited(operator, subject=told.id)) == 1
        async with shop.engine.begin() as connection:
            await connection.execute(
                update(bulk_items).where(bulk_items.c.bulk_id == bulk_id).values(outcome="pending")
            )
    async with shop.engine.begin() as connection:
        await connection.execute(outbox.delete().where(outbox.c.aggregate == f"bulk/{bulk_id}"))


async def accept(shop: Shop, bulk_id: str, *order_ids: str) -> None:
    """A bulk action that retries these orders, and whose process is not begun."""
    act = Act(actor="olga", note="again", request_id=uuid4().hex)
    total = len(order_ids)
    asked = {"action": "retry", "filter": {}, "per_second": 1, "total": total, "key_hash": bulk_id, "request_hash": ""}
    items = [
        {"bulk_id": bulk_id, "number": number, "subject": order_id, "kind": "order"}
        for number, order_id in enumerate(order_ids, 1)
    ]
    async with shop.engine.begin() as connection:
        await connection.execute(bulk_actions.insert().values(id=bulk_id, **asked, **act.model_dump()))
        await connection.execute(bulk_items.insert(), items)


@workflow.defn(name="Silent")
class Silent:
    """Takes up what it is told, and never answers."""

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.update
    async def retry(self, _: RetryOrder) -> None:
        await workflow.wait_condition(lambda: False)


async def tries(shop: Shop, bulk_id: str) -> list[tuple[str, int]]:
    """What became of each so far, and how often it gave no answer."""
    query = select(bulk_items.c.outcome, bulk_items.c.tries).where(bulk_items.c.bulk_id == bulk_id)
    async with shop.engine.connect() as connection:
        return [(outcome, tried) for outcome, tried in await connection.execute(query.order_by(bulk_items.c.number))]


async def test_an_order_that_gives_no_answer_is_waited_for_once_and_a_cancellation_is_none(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, ids = f"silent-{uuid4().hex}", [order_id_for("silent", new_key()) for _ in range(2)]
    process = BulkActivities(BulkRepository(shop.engine), shop.client)
    bulk_id = new_bulk_id()
    async with Worker(shop.client, task_queue=queue, workflows=[Silent], workflow_runner=UnsandboxedWorkflowRunner()):
        # The last one in the place of the bulk action's process, which is not to be missed.
        silent = [
            await shop.client.start_workflow(Silent.run, id=one, task_queue=queue)
            for one in (*map(order_workflow_id, ids), bulk_workflow_id(bulk_id))
        ]
        await accept(shop, bulk_id, *ids)
        stopped = asyncio.create_task(process.do_next_of_bulk(NextOfBulk(bulk_id=bulk_id, limit=1)))
        async with asyncio.timeout(WITHIN_S):
            while TAKEN_UP not in [event.event_type for event in (await silent[0].fetch_history()).events]:
                await asyncio.sleep(POLL_S)
        stopped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopped
        cancelled = await tries(shop, bulk_id)

        monkeypatch.setattr("activities.bulk.UPDATE_WITHIN", ANSWERS_WITHIN)
        began = asyncio.get_running_loop().time()
        await process.do_next_of_bulk(NextOfBulk(bulk_id=bulk_id, limit=2))
        took = asyncio.get_running_loop().time() - began

        for handle in silent:
            await handle.terminate()
    assert cancelled == [("pending", 0), ("pending", 0)]
    assert await tries(shop, bulk_id) == [("pending", 1), ("pending", 1)]
    assert took < 1.8 * ANSWERS_WITHIN.total_seconds()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"limit": 1, "expected": 1},
        {"limit": 0},
        {"limit": 10_001},
        {"expected": -1},
        {"limit": 1, "per_second": 0},
        {"limit": 1, "per_second": 51},
        {"limit": 1, "action": "discard"},
        {"limit": 1, "status": "cancelled"},
        {"limit": 1, "action": "resolve"},
        {"limit": 1, "action": "resolve", "status": "processing"},
        {"limit": 1, "action": "resolve", "status": "cancelled", "filter": {"kind": "job"}},
        {"limit": 1, "filter": {"ids": []}},
        {"limit": 1, "filter": None},
        {"limit": 1, "else": 1},
    ],
)
async def test_what_does_not_say_what_it_means_is_refused(operator: Caller, body: dict[str, Any]) -> None:
    asked = {"action": "retry", "filter": {"subject": "nobody"}, **body}

    assert_problem(await operator.post(BULK, {"Idempotency-Key": new_key()}, json=asked), 422, "invalid_request")


async def test_what_there_is_not_is_not_found(operator: Caller) -> None:
    for path in (UNKNOWN, f"{BULK}/x"):
        assert_problem(await operator.get(path), 404, "not_found")
        assert_problem(await operator.post(f"{path}/cancel"), 404, "not_found")
        assert_problem(await operator.post(f"{path}/resume"), 404, "not_found")


async def test_one_about_nothing_is_finished_soon(operator: Caller) -> None:
    bulk = await started(operator, {"subject": "nobody"}, expected=0)

    done = await bulk.finished()

    assert (done["total"], done["counts"]) == (0, COUNTS)
    assert datetime.fromisoformat(done["finished_at"])
