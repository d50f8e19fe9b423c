"""What Temporal keeps of a customer cannot be read there, and what is encrypted goes on being understood."""

import asyncio
import base64
import json
import os
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.converter import DataConverter
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from api.schedule_keeping import RESUMED
from contracts.orders import Address, OrderStatus
from payloads import data_converter
from stack.home import Home
from tests.acceptance.client import BIKE, Caller, Door, order_body
from tests.accounts import NewAccount, token_in
from tests.jobs import accepted, echo, until
from tests.shop import POLL_S, RPC_TIMEOUT, WITHIN_S, Shop, ShopOrder, open_shop
from tests.stack_session import RunningStack, bring_up, followthrough, throw_away
from tests.temporal_databases import dump
from workflows.orders import OrderWorkflow

LARGE = 60_000
PROJECT = Path(__file__).parents[3]
# Words that stand nowhere else: no digits of a time, no hexadecimal ones of an id.
MARK = "".join(random.choices("ghjkmnpqrstvwxyz", k=8))
SHIP_TO = {
    "name": f"Grace{MARK} Hopper{MARK}",
    "line1": f"{MARK} Nelsonstrasse 7",
    "city": f"Bergen{MARK}",
    "postal_code": f"5{MARK}",
    "country": "NO",
}
ELSEWHERE = Address(name=f"Moved{MARK}", line1=f"Hidden{MARK} 3", city=f"Lyon{MARK}", postal_code="69001", country="FR")
WORDS = [
    *SHIP_TO["name"].split(),
    SHIP_TO["line1"],
    SHIP_TO["city"],
    SHIP_TO["postal_code"],
    *ELSEWHERE.name.split(),
    ELSEWHERE.line1,
    ELSEWHERE.city,
]


async def client_with(stack: RunningStack, converter: DataConverter) -> Client:
    return await Client.connect(stack.temporal_address, namespace=stack.temporal_namespace, data_converter=converter)


async def test_nothing_of_a_customer_can_be_read_in_temporals_databases(
    stack: RunningStack, shop: Shop, door: Door, customer: Caller, operator: Caller
) -> None:
    # An order that is moved (an update), approved (a signal), and whose calls fail (failures, attempts, summaries).
    placed = (await customer.place(order_body(sku=BIKE, quantity=1, ship_to=SHIP_TO))).json()
    for operation in ("charge", "ship"):
        await shop.ledger.misbehave(placed["id"], operation, "error_after", times=2)
    order: WorkflowHandle[Any, Any] = shop.client.get_workflow_handle(f"order/{placed['id']}")
    await customer.until(placed["id"], "awaiting_approval")
    await order.execute_update(OrderWorkflow.change_address, ELSEWHERE, rpc_timeout=RPC_TIMEOUT)
    assert (await customer.order(placed["id"]))["ship_to"]["city"] == ELSEWHERE.city
    await operator.post(f"/v1/admin/orders/{placed['id']}/approve", json={"note": f"note{MARK}"})
    await customer.until(placed["id"], "completed")
    # A schedule's note, which Temporal does not encrypt, and the operator who gives none.
    schedule = "/v1/admin/schedules/daily-digest"
    paused = await operator.post(f"{schedule}/pause", json={"note": f"pause{MARK}"})
    resumed = await operator.post(f"{schedule}/resume")
    assert [answer.json()["note"] for answer in (paused, resumed)] == [f"pause{MARK}", f"resumed by {operator.subject}"]
    # A job that fails first and then tells how far it is, which its heartbeats carry.
    owner = door.customer("jobs:write")
    echoed = await echo(owner, message=f"echo{MARK}", fail_times=1, sleep_s=0.5)
    await until(owner, echoed, "succeeded")
    # A refusal, and a sign-up whose mail fails first.
    refused = await customer.place(order_body(ship_to=SHIP_TO, payment_method="pm_card_visa_chargeDeclined"))
    await customer.until(refused.json()["id"], "rejected")
    email = f"grace-{MARK}@example.com"
    await shop.ledger.misbehave(email, "send", "rate_limit")
    account = await NewAccount.signed_up(shop, email)
    [mail] = await account.until_mails("welcome")
    await account.confirm()
    await account.outcome()
    # What shows that a word would be found: the same payload of a client that does not encrypt.
    bare = await client_with(stack, data_converter({}))
    plain = await bare.start_workflow(
        "Nobody's",
        {"address": f"Plain{MARK}"},
        id=f"plain-{MARK}",
        task_queue=f"nobody-{MARK}",
        memo={"to": f"M{MARK}"},
    )
    await until_listed(bare, plain.id)

    dumped = await dump(stack)

    await plain.terminate()
    assert dumped.where(f"Plain{MARK}") == ["temporal.history_node"]
    assert "temporal_visibility.executions_visibility" in dumped.where(f"M{MARK}")
    assert "temporal.executions" in dumped.where(placed["id"])
    assert dumped.where(echoed["id"])
    assert dumped.where(RESUMED)
    assert "temporal_visibility.executions_visibility" in dumped.where(customer.subject)
    for word in (
        *WORDS,
        email,
        f"grace-{MARK}",
        f"note{MARK}",
        f"pause{MARK}",
        f"by {operator.subject}",
        f"echo{MARK}",
        token_in(mail),
        "pm_card_visa",
        "Lovelace",
    ):
        assert dumped.where(word) == [], word


async def until_listed(client: Client, workflow_id: str) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not [found async for found in client.list_workflows(f"WorkflowId = '{workflow_id}'")]:
            await asyncio.sleep(POLL_S)


async def test_every_payload_of_an_order_is_encrypted_and_an_operator_has_it_decrypted(
    stack: RunningStack, customer: Caller, operator: Caller, http: httpx.AsyncClient
) -> None:
    placed = (await customer.place(order_body(ship_to=SHIP_TO))).json()
    await customer.until(placed["id"], "completed")
    bare = await client_with(stack, data_converter({}))
    handle = bare.get_workflow_handle(f"order/{placed['id']}")
    history = json.loads((await handle.fetch_history()).to_json())
    described = (await handle.describe()).raw_description.workflow_execution_info

    [argument] = history["events"][0]["workflowExecutionStartedEventAttributes"]["input"]["payloads"]
    answer = await operator.post("/codec/decode", {"X-Namespace": "followthrough"}, json={"payloads": [argument]})
    asked_by_customer = await customer.post("/codec/decode", json={"payloads": [argument]})
    without_token = await http.post("/codec/decode", json={"payloads": [argument]})

    encodings = list(encodings_of(history))
    assert len(encodings) > 5
    assert set(encodings) == {"binary/encrypted"}
    assert {bytes(payload.metadata["encoding"]) for payload in described.memo.fields.values()} == {b"binary/encrypted"}
    assert answer.status_code == 200, answer.text
    [decoded] = answer.json()["payloads"]
    assert json.loads(base64.b64decode(decoded["data"]))["ship_to"].items() >= SHIP_TO.items()
    assert (asked_by_customer.status_code, without_token.status_code) == (403, 401)


def encodings_of(found: Any) -> list[str]:
    """Of each payload of ours; search attributes and the SDK's own markers have to be readable to the server."""
    match found:
        case {"metadata": {"encoding": encoding}, "data": _}:
            return [base64.b64decode(encoding).decode()]
        case {"markerName": "core_local_activity", "details": details}:
            return encodings_of([member for name, member in details.items() if name != "data"])
        case dict():
            return [
                encoding
                for name, member in found.items()
                if name != "searchAttributes"
                for encoding in encodings_of(member)
            ]
        case list():
            return [encoding for member in found for encoding in encodings_of(member)]
    return []


async def test_an_order_whose_key_is_missing_waits_and_its_worker_says_for_which(
    stack: RunningStack, shop: Shop
) -> None:
    lost = f"lost-{uuid4().hex[:8]}"
    order = await shop.order()
    await order.start(await client_with(stack, data_converter({lost: os.urandom(32)})))

    async with asyncio.timeout(WITHIN_S):
        while EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED not in [
            event.event_type for event in (await order.handle.fetch_history()).events
        ]:
            await asyncio.sleep(POLL_S)

    log = Home(stack.home).log("worker").read_text()
    assert f"a payload is encrypted with key '{lost}', which is not configured here" in log
    assert (await order.handle.describe()).status is WorkflowExecutionStatus.RUNNING
    assert await shop.books.find(order.id) is None
    assert (await shop.ledger.effects(order.id)).charges == ()
    await order.handle.terminate()


@workflow.defn(name="Weighs")
class Weighing:
    """Something to do with a payload."""

    @workflow.run
    async def run(self, parcel: str) -> int:
        return len(parcel)


async def test_what_waited_for_a_key_goes_on_once_a_worker_has_it(stack: RunningStack) -> None:
    keys = {"new": os.urandom(32), "old": os.urandom(32)}
    queue = f"weighing-{uuid4().hex[:8]}"
    sender = await client_with(stack, data_converter({"old": keys["old"]}))
    handle = await sender.start_workflow(
        Weighing.run, "a parcel", id=queue, task_queue=queue, task_timeout=timedelta(seconds=1)
    )

    def worker(client: Client) -> Worker:
        return Worker(client, task_queue=queue, workflows=[Weighing], workflow_runner=UnsandboxedWorkflowRunner())

    async with worker(await client_with(stack, data_converter({"new": keys["new"]}))), asyncio.timeout(WITHIN_S):
        while not any(
            event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
            for event in (await handle.fetch_history()).events
        ):
            await asyncio.sleep(POLL_S)
    rotated = await client_with(stack, data_converter(keys))
    async with worker(rotated), asyncio.timeout(WITHIN_S):
        assert await rotated.get_workflow_handle(queue).result() == 8


async def test_a_replaced_key_is_taken_out_of_the_schedules_by_migrate(stack: RunningStack, shop: Shop) -> None:
    kept = Home(stack.home).secrets().payload_keys
    fresh = f"fresh={base64.b64encode(os.urandom(32)).decode()}"

    # The new one first, the old one behind it: then the old way round again.
    def migrate(keys: str) -> list[str]:
        done = followthrough("migrate", "--home", str(stack.home), FOLLOWTHROUGH_PAYLOAD_KEYS=keys)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert migrate(f"{fresh},{kept}") == ["updated schedule daily-digest: encryption"]
    assert migrate(f"{fresh},{kept}") == []
    # Even to one who has lost the key that they were written with.
    assert migrate(kept) == ["updated schedule daily-digest: encryption"]
    assert migrate(kept) == []


async def test_the_jobs_that_need_a_replaced_key_are_counted_as_documented(shop: Shop, door: Door) -> None:
    """Their arguments lie in Temporal, encrypted with it, for as long as they wait."""
    [count] = re.findall(r"```sql\n\s*(.*)\n\s*```", (PROJECT / "docs" / "security.md").read_text())
    query, replaced = re.subn(r"'[^']*Z'", "CAST(CAST(:replaced_at AS text) AS timestamptz)", count)
    assert replaced == 1
    owner = door.customer("jobs:write")
    over = await until(owner, await echo(owner), "succeeded")
    waiting = await accepted(owner, delay_s=3_600)

    async def counted(replaced_at: datetime) -> int:
        async with shop.engine.connect() as connection:
            owned = text(f"{query.rstrip(';')} AND subject = :subject")
            found = await connection.scalar(owned, {"replaced_at": replaced_at.isoformat(), "subject": owner.subject})
            return int(found or 0)

    before, after = datetime.fromisoformat(over["created_at"]), datetime.now(UTC) + timedelta(minutes=1)
    assert [await counted(before), await counted(after)] == [0, 1]
    await owner.post(waiting["links"]["cancel"])
    assert await counted(after) == 0


@pytest.mark.outage
async def test_a_home_may_begin_to_encrypt_while_orders_wait_and_then_goes_on_so(tmp_path: Path) -> None:
    home = tmp_path / "home"
    try:
        async with open_shop(up(home)) as shop:
            before = await shop.place(amount=LARGE)
            await before.until(OrderStatus.AWAITING_APPROVAL)
        async with open_shop(up(home, FOLLOWTHROUGH_ENCRYPT_PAYLOADS="true")) as shop:
            await again(before, shop).decide(approved=True)
            assert (await again(before, shop).settled()).status is OrderStatus.COMPLETED
            during = await shop.place(amount=LARGE)
            await during.until(OrderStatus.AWAITING_APPROVAL)
        # Nobody says it any more.
        async with open_shop(up(home)) as shop:
            await again(during, shop).decide(approved=True)
            assert (await again(during, shop).settled()).status is OrderStatus.COMPLETED
            mixed, whole = [
                set(encodings_of(json.loads((await order.handle.fetch_history()).to_json())))
                for order in (again(before, shop), again(during, shop))
            ]
        assert mixed == {"json/plain", "binary/encrypted"}
        assert whole == {"binary/encrypted"}
    finally:
        throw_away(home)


def up(home: Path, **variables: str) -> RunningStack:
    """The home's stack, started anew."""
    followthrough("down", "--home", str(home))
    return RunningStack.of(home, bring_up(home, "--without", "api", **variables))


def again(order: ShopOrder, shop: Shop) -> ShopOrder:
    """The order, seen through the connections of now."""
    return ShopOrder(shop, order.placed)
