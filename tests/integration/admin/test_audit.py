"""Every act of an operator leaves an entry in the audit log: each route that lets one act is walked here."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from contracts.attention import AttentionKind
from contracts.bulk import BulkFailure, BulkRun
from contracts.orders import OrderStatus
from database.bulk import BulkRepository
from tests.acceptance.client import POLL_S, WITHIN_S, Caller, Door, new_key
from tests.accounts import NewAccount
from tests.bulk import BULK, dead_endpoints, started
from tests.jobs import accepted
from tests.letters import PATH as LETTERS
from tests.letters import audited, poison
from tests.schedules import opened
from tests.shop import ADA, Shop, ShopOrder

Json = dict[str, Any]
NOTE = "because of the audit"
FOR_LONG = 1_000
LARGE = 60_000
ENDPOINTS = "/v1/webhook-endpoints"
URL = "https://hooks.invalid/in/secret-path"
# These look, or translate, and change nothing.
READS = {"POST /v1/admin/bulk/preview", "POST /codec/decode", "POST /codec/encode"}
# An operator's token alone does not do for these: what they make is the caller's own.
NO_ACTS = ("POST /v1/orders", "POST /v1/jobs", "POST /v1/jobs/batch", "POST /v1/reports")


@dataclass(frozen=True)
class Scene:
    """Where operators act."""

    shop: Shop
    door: Door

    @property
    def operator(self) -> Caller:
        return self.door.operator()

    async def did(self, answer: httpx.Response, subject: str, before: Json | None, after: Json | None) -> "Did":
        assert answer.is_success, answer.text
        return Did(answer.headers["x-request-id"], subject, before, after)

    async def acts(
        self, method: str, path: str, subject: str, before: Json | None, after: Json | None, **body: Any
    ) -> "Did":
        """The operator does it, and says why."""
        sent: Json = {"params": {"note": NOTE}} if method == "DELETE" else {"json": {**body, "note": NOTE}}
        answer = await self.door.http.request(method, path, headers=self.operator.headers, **sent)
        return await self.did(answer, subject, before, after)


@dataclass(frozen=True)
class Did:
    """What the audit log is to say."""

    request_id: str
    subject: str
    before: Json | None
    after: Json | None


Case = Callable[[Scene], Awaitable[Did]]
CASES: dict[str, tuple[str, Case]] = {}


def case(route: str, action: str) -> Callable[[Case], Case]:
    def add(one: Case) -> Case:
        CASES[route] = (action, one)
        return one

    return add


async def parked(scene: Scene) -> ShopOrder:
    order = await scene.shop.order(retry_window_s=1)
    await order.meets("ship", "error_before", times=FOR_LONG)
    await order.start()
    await order.parked()
    await scene.shop.ledger.behave()
    return order


async def waiting(scene: Scene) -> ShopOrder:
    order = await scene.shop.place(amount=LARGE)
    await order.until(OrderStatus.AWAITING_APPROVAL)
    return order


async def short(scene: Scene) -> ShopOrder:
    order = await scene.shop.place(on_hand=1, quantity=2)
    await order.until(OrderStatus.AWAITING_CUSTOMER)
    return order


@case("POST /v1/admin/orders/{order_id}/approve", "order.approve")
async def approves(scene: Scene) -> Did:
    order = await waiting(scene)
    before, after = {"status": "awaiting_approval"}, {"status": "processing"}
    return await scene.acts("POST", f"/v1/admin/orders/{order.id}/approve", order.id, before, after)


@case("POST /v1/admin/orders/{order_id}/reject", "order.reject")
async def rejects(scene: Scene) -> Did:
    order = await waiting(scene)
    before, after = {"status": "awaiting_approval"}, {"status": "processing", "ends_as": "rejected"}
    return await scene.acts("POST", f"/v1/admin/orders/{order.id}/reject", order.id, before, after)


@case("POST /v1/admin/orders/{order_id}/retry", "order.retry")
async def retries(scene: Scene) -> Did:
    order = await parked(scene)
    before, after = {"status": "needs_attention"}, {"status": "processing"}
    return await scene.acts("POST", f"/v1/admin/orders/{order.id}/retry", order.id, before, after)


@case("POST /v1/admin/orders/{order_id}/resolve", "order.resolve")
async def resolves(scene: Scene) -> Did:
    order = await parked(scene)
    before, after = {"status": "needs_attention"}, {"status": "processing", "ends_as": "cancelled"}
    path = f"/v1/admin/orders/{order.id}/resolve"
    return await scene.acts("POST", path, order.id, before, after, status="cancelled")


@case("POST /v1/orders/{order_id}/cancel", "order.cancel")
async def cancels_an_order(scene: Scene) -> Did:
    order = await waiting(scene)
    before, after = {"status": "awaiting_approval"}, {"status": "processing", "ends_as": "cancelled"}
    return await scene.acts("POST", f"/v1/orders/{order.id}/cancel", order.id, before, after)


@case("POST /v1/orders/{order_id}/customer-action", "order.amend")
async def amends(scene: Scene) -> Did:
    order = await short(scene)
    price = order.placed.lines[0].unit_price.amount
    before = {"status": "awaiting_customer", "total": {"amount": 2 * price, "currency": "usd"}}
    after = {"status": "processing", "total": {"amount": price, "currency": "usd"}}
    return await scene.acts("POST", f"/v1/orders/{order.id}/customer-action", order.id, before, after, action="amend")


@case("PATCH /v1/orders/{order_id}/shipping-address", "order.change_address")
async def changes_the_address(scene: Scene) -> Did:
    order = await waiting(scene)
    elsewhere = ADA.model_dump(exclude_none=True) | {"line1": "7 Rue Longue", "city": "Lyon", "country": "FR"}
    path = f"/v1/orders/{order.id}/shipping-address"
    return await scene.acts("PATCH", path, order.id, {"country": "NO"}, {"country": "FR"}, **elsewhere)


@case("POST /v1/admin/dead-letters/{letter_id}/retry", "job.retry")
async def retries_a_letter(scene: Scene) -> Did:
    job = await poison(scene.door.customer("jobs:write"), fail_times=5)
    before = {"status": "failed", "attempt": 5, "reason": "told_to_fail"}
    return await scene.acts("POST", f"{LETTERS}/{job['id']}/retry", job["id"], before, {"status": "queued"})


@case("POST /v1/admin/dead-letters/{letter_id}/discard", "job.discard")
async def discards_a_letter(scene: Scene) -> Did:
    job = await poison(scene.door.customer("jobs:write"))
    sent = {"reason": NOTE}
    answer = await scene.operator.post(f"{LETTERS}/{job['id']}/discard", json=sent)
    before = {"listed": True, "reason": "told_to_fail", "since": job["finished_at"].replace("Z", "+00:00")}
    return await scene.did(answer, job["id"], before, {"listed": False})


@case("POST /v1/admin/dead-letters/retry", "job.retry")
async def retries_letters(scene: Scene) -> Did:
    owner = scene.door.customer("jobs:write")
    job = await poison(owner, fail_times=5)
    before = {"status": "failed", "attempt": 5, "reason": "told_to_fail"}
    wanted = {"subject": owner.subject}
    after = {"status": "queued"}
    return await scene.acts("POST", f"{LETTERS}/retry", job["id"], before, after, filter=wanted, expected=1)


@case("POST /v1/admin/dead-letters/discard", "job.discard")
async def discards_letters(scene: Scene) -> Did:
    owner = scene.door.customer("jobs:write")
    job = await poison(owner)
    asked = {"filter": {"subject": owner.subject}, "expected": 1, "reason": NOTE}
    before = {"listed": True, "reason": "told_to_fail", "since": job["finished_at"].replace("Z", "+00:00")}
    answer = await scene.operator.post(f"{LETTERS}/discard", json=asked)
    return await scene.did(answer, job["id"], before, {"listed": False})


@case("PUT /v1/admin/catalogue/{sku}", "catalogue.put")
async def puts_an_item(scene: Scene) -> Did:
    product = await scene.shop.goods(on_hand={"wh_oslo": 3})
    price = {"amount": 2_000, "currency": "usd"}
    before = {"name": product.name, "price": product.price.model_dump(), "on_hand": {"wh_oslo": 3}}
    after = {"name": "Cap", "price": price, "on_hand": {"wh_oslo": 1, "wh_lyon": 4}}
    return await scene.acts("PUT", f"/v1/admin/catalogue/{product.sku}", product.sku, before, after, **after)


async def fraud_settings(scene: Scene) -> Json:
    found: Json = (await scene.operator.get("/v1/admin/fraud")).json()
    return found


@case("PUT /v1/admin/fraud/limit", "fraud.limit")
async def sets_the_limit(scene: Scene) -> Did:
    before = await fraud_settings(scene)
    limit = {"amount": 10_000_000_000, "window_s": 5}
    return await scene.acts("PUT", "/v1/admin/fraud/limit", "fraud", before, before | {"limit": limit}, **limit)


@case("DELETE /v1/admin/fraud/limit", "fraud.limit")
async def drops_the_limit(scene: Scene) -> Did:
    before = await fraud_settings(scene)
    return await scene.acts("DELETE", "/v1/admin/fraud/limit", "fraud", before, before | {"limit": None})


@case("PUT /v1/admin/fraud/maintenance", "fraud.maintenance")
async def suspends_checks(scene: Scene) -> Did:
    before = await fraud_settings(scene)
    return await scene.acts("PUT", "/v1/admin/fraud/maintenance", "fraud", before, before, enabled=False)


QUIET = "daily-digest"


@case("POST /v1/admin/schedules/{name}/pause", "schedule.pause")
async def pauses(scene: Scene) -> Did:
    path = f"/v1/admin/schedules/{QUIET}/pause"
    did = await scene.acts("POST", path, QUIET, {"paused": False}, {"paused": True})
    await scene.operator.post(f"/v1/admin/schedules/{QUIET}/resume")
    return did


@case("POST /v1/admin/schedules/{name}/resume", "schedule.resume")
async def resumes(scene: Scene) -> Did:
    await scene.operator.post(f"/v1/admin/schedules/{QUIET}/pause")
    path = f"/v1/admin/schedules/{QUIET}/resume"
    return await scene.acts("POST", path, QUIET, {"paused": True}, {"paused": False})


@case("POST /v1/admin/schedules/{name}/trigger", "schedule.trigger")
async def triggers(scene: Scene) -> Did:
    path = "/v1/admin/schedules/webhook-health/trigger"
    return await scene.acts("POST", path, "webhook-health", {"paused": False}, {"asked_for": "a run now"})


@case("POST /v1/admin/schedules/{name}/backfill", "schedule.backfill")
async def backfills(scene: Scene) -> Did:
    period = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-01T00:15:00Z"}
    after = {**period, "overlap": "buffer_all", "runs": 1}
    path = "/v1/admin/schedules/webhook-health/backfill"
    return await scene.acts("POST", path, "webhook-health", {"paused": False}, after, **period)


async def endpoint_of(caller: Caller) -> Json:
    answer = await caller.post(ENDPOINTS, json={"url": URL, "event_types": ["order.*"]})
    assert answer.status_code == 201, answer.text
    endpoint: Json = answer.json()
    return endpoint


def shown(endpoint: Json) -> Json:
    kept = {name: endpoint[name] for name in ("owner", "event_types", "status", "disabled_reason")}
    return kept | {"host": "https://hooks.invalid"}


@case("POST /v1/webhook-endpoints", "webhook_endpoint.create")
async def makes_an_endpoint_of_the_system(scene: Scene) -> Did:
    asked = {"url": URL, "event_types": ["order.*"], "note": NOTE}
    answer = await scene.operator.post(ENDPOINTS, json=asked)
    made = answer.json()
    await scene.operator.patch(f"{ENDPOINTS}/{made['id']}", {"status": "disabled"})
    return await scene.did(answer, made["id"], None, shown(made))


@case("PATCH /v1/webhook-endpoints/{endpoint_id}", "webhook_endpoint.change")
async def changes_an_endpoint(scene: Scene) -> Did:
    endpoint = await endpoint_of(scene.door.customer("webhooks:write"))
    after = shown(endpoint) | {"status": "disabled", "disabled_reason": "owner", "url_changed": True}
    changes = {"status": "disabled", "url": f"{URL}/2"}
    path = f"{ENDPOINTS}/{endpoint['id']}"
    return await scene.acts("PATCH", path, endpoint["id"], shown(endpoint), after, **changes)


@case("DELETE /v1/webhook-endpoints/{endpoint_id}", "webhook_endpoint.delete")
async def deletes_an_endpoint(scene: Scene) -> Did:
    endpoint = await endpoint_of(scene.door.customer("webhooks:write"))
    path = f"{ENDPOINTS}/{endpoint['id']}"
    return await scene.acts("DELETE", path, endpoint["id"], shown(endpoint), None)


@case("POST /v1/webhook-endpoints/{endpoint_id}/rotate-secret", "webhook_endpoint.rotate_secret")
async def rotates_a_secret(scene: Scene) -> Did:
    endpoint = await endpoint_of(scene.door.customer("webhooks:write"))
    path = f"{ENDPOINTS}/{endpoint['id']}/rotate-secret"
    return await scene.acts("POST", path, endpoint["id"], None, None)


@case("POST /v1/webhook-endpoints/{endpoint_id}/test", "webhook_endpoint.test")
async def probes_an_endpoint(scene: Scene) -> Did:
    owner = scene.door.customer("webhooks:write")
    endpoint = await endpoint_of(owner)
    path = f"{ENDPOINTS}/{endpoint['id']}"
    did = await scene.acts("POST", f"{path}/test", endpoint["id"], None, None)
    [sent] = (await owner.get(f"{path}/deliveries")).json()["items"]
    return Did(did.request_id, did.subject, None, {"delivery": sent["id"], "event_type": "webhook.test"})


@case("POST /v1/webhook-endpoints/{endpoint_id}/deliveries/{delivery_id}/redeliver", "webhook_endpoint.redeliver")
async def redelivers(scene: Scene) -> Did:
    owner = scene.door.customer("webhooks:write")
    endpoint = await endpoint_of(owner)
    path = f"{ENDPOINTS}/{endpoint['id']}"
    first = (await owner.post(f"{path}/test")).json()
    did = await scene.acts("POST", f"{path}/deliveries/{first['id']}/redeliver", endpoint["id"], None, None)
    [again] = [one for one in (await owner.get(f"{path}/deliveries")).json()["items"] if one["id"] != first["id"]]
    before, after = {"delivery": first["id"], "status": "pending"}, {"delivery": again["id"], "status": "pending"}
    return Did(did.request_id, did.subject, before, after)


@case("POST /v1/jobs/{job_id}/cancel", "job.cancel")
async def cancels_a_job(scene: Scene) -> Did:
    job = await accepted(scene.door.customer("jobs:write"), delay_s=3_600)
    before = {"status": "scheduled", "cancel_requested": False}
    after = {"status": "cancelled", "cancel_requested": True}
    return await scene.acts("POST", f"/v1/jobs/{job['id']}/cancel", job["id"], before, after)


@case("POST /v1/jobs/{job_id}/reschedule", "job.reschedule")
async def reschedules_a_job(scene: Scene) -> Did:
    owner = scene.door.customer("jobs:write")
    job = await accepted(owner, run_at="2027-03-01T12:00:00Z")
    before, after = {"run_at": "2027-03-01T12:00:00+00:00"}, {"run_at": "2027-04-01T12:00:00+00:00"}
    path = f"/v1/jobs/{job['id']}/reschedule"
    did = await scene.acts("POST", path, job["id"], before, after, run_at="2027-04-01T12:00:00Z")
    await owner.post(job["links"]["cancel"])
    return did


@case("POST /v1/jobs/batch/{batch_id}/cancel", "job_batch.cancel")
async def cancels_a_batch(scene: Scene) -> Did:
    owner = scene.door.customer("jobs:write")
    items = [{"message": "slow", "sleep_s": 60} for _ in range(3)]
    asked = {"type": "diagnostics.echo", "items": items, "queue": "jobs-bulk"}
    batch = (await owner.post("/v1/jobs/batch", {"Idempotency-Key": new_key()}, json=asked)).json()
    did = await scene.acts("POST", f"/v1/jobs/batch/{batch['id']}/cancel", batch["id"], None, None)
    [entry] = await audited(scene.operator, subject=batch["id"])
    # Some may run already.
    assert sum(entry["after"].values()) == len(items)
    return Did(did.request_id, batch["id"], None, entry["after"])


@case("POST /v1/admin/attention/{item_id}/close", "attention_item.close")
async def closes_an_item(scene: Scene) -> Did:
    item = await opened(scene.shop, AttentionKind.DISPUTE, "a dispute")
    before = {"open": True, "kind": "dispute", "source": item.source, "detail": "a dispute"}
    return await scene.acts("POST", f"/v1/admin/attention/{item.id}/close", item.id, before, {"open": False})


@case("POST /v1/admin/bulk", "bulk.start")
async def starts_a_bulk(scene: Scene) -> Did:
    bulk = await started(scene.operator, {"subject": "nobody"}, limit=5, note=NOTE)
    after = {"action": "retry", "filter": {"subject": "nobody"}, "per_second": 5.0, "total": 0}
    return Did(bulk.request_id, bulk.id, None, after)


@case("POST /v1/admin/bulk/{bulk_id}/cancel", "bulk.cancel")
async def cancels_a_bulk(scene: Scene) -> Did:
    endpoints = await dead_endpoints(scene.shop, 2)
    bulk = await started(scene.operator, {"subject": endpoints[0].owner}, limit=5, per_second=0.1)
    await bulk.until(lambda now: now["counts"]["done"] == 1)
    return await scene.acts("POST", f"{BULK}/{bulk.id}/cancel", bulk.id, None, {"cancelled": 1})


@case("POST /v1/admin/bulk/{bulk_id}/resume", "bulk.resume")
async def resumes_a_bulk(scene: Scene) -> Did:
    endpoints = await dead_endpoints(scene.shop, 2)
    bulk = await started(scene.operator, {"subject": endpoints[0].owner}, limit=5, per_second=0.1)
    await bulk.until(lambda now: now["counts"]["done"] == 1)
    await BulkRepository(scene.shop.engine).fail(BulkRun(bulk_id=bulk.id), BulkFailure.PROCESS_LOST)
    return await scene.acts("POST", f"{BULK}/{bulk.id}/resume", bulk.id, {"failure": "process_lost"}, {"pending": 1})


@case("POST /v1/accounts/{account_id}/resend", "account.resend")
async def resends_a_link(scene: Scene) -> Did:
    account = await NewAccount.signed_up(scene.shop)
    path = f"/v1/accounts/{account.id}/resend"
    return await scene.acts("POST", path, account.id, {"resends": 0}, {"resends": 1})


@case("DELETE /v1/accounts/{account_id}", "account.delete")
async def erases_an_account(scene: Scene) -> Did:
    account = await NewAccount.signed_up(scene.shop)
    return await scene.acts("DELETE", f"/v1/accounts/{account.id}", account.id, {"status": "pending"}, None)


@pytest.fixture
def scene(shop: Shop, door: Door) -> Scene:
    return Scene(shop, door)


async def test_every_route_by_which_operators_act_is_walked_here(door: Door) -> None:
    """What an operator's token, or any token, may call; a new route needs a case above, or a reason."""
    described = (await door.http.get("/openapi.json")).json()
    acting = {
        f"{method.upper()} {path}"
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
        if method not in ("get", "head")
        and any("operator" in scopes or not scopes for one in operation.get("security", []) for scopes in one.values())
    }

    assert acting - READS == CASES.keys(), "add a case, and its entry in the audit log"
    for route in NO_ACTS:
        method, _, path = route.partition(" ")
        [wanted] = described["paths"][path][method.lower()]["security"]
        assert "operator" not in wanted["bearer"], route


@pytest.mark.parametrize("route", CASES)
async def test_an_act_is_in_the_audit_log(scene: Scene, route: str) -> None:
    action, act = CASES[route]
    began = datetime.now(UTC)

    did = await act(scene)

    async with asyncio.timeout(WITHIN_S):
        # A decision is a signal: the order's workflow books it a moment later.
        while not (
            found := [
                entry
                for entry in await audited(scene.operator, subject=did.subject, action=action)
                if entry["request_id"] == did.request_id
            ]
        ):
            await asyncio.sleep(POLL_S)
    [entry] = found
    assert (entry["actor"], entry["note"], entry["from_address"]) == ("olga", NOTE, "127.0.0.1")
    assert (entry["before"], entry["after"]) == (did.before, did.after)
    assert began <= datetime.fromisoformat(entry["at"]) <= datetime.now(UTC)
    assert "secret-path" not in str(entry)


async def test_what_owners_do_to_their_own_is_no_operators_act(scene: Scene) -> None:
    """Also when their token is an operator's."""
    for scopes in (("jobs:write",), ("jobs:write", "operator")):
        owner = scene.door.customer(*scopes)
        job = await accepted(owner, delay_s=3_600)
        assert (await owner.post(job["links"]["cancel"], json={"note": "mine"})).is_success
        assert await audited(scene.operator, subject=job["id"]) == []
    order = await waiting(scene)
    customer = Caller(scene.door.http, scene.door.stack, order.placed.customer_id, "orders:write")
    assert (await customer.post(f"/v1/orders/{order.id}/cancel")).is_success
    assert (await order.settled()).status is OrderStatus.CANCELLED
    assert await audited(scene.operator, subject=order.id) == []


async def test_a_refused_act_leaves_no_entry(scene: Scene) -> None:
    order = await parked(scene)
    refused = await scene.operator.post(f"/v1/admin/orders/{order.id}/resolve", json={"status": "completed"})

    assert refused.status_code == 409, refused.text
    assert await audited(scene.operator, subject=order.id) == []
    await order.cancel()
