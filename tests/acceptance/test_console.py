"""The console over HTTP, as a browser without scripts sees it: what it shows is what other witnesses say."""

import asyncio
import re
from html import unescape
from typing import Any
from uuid import uuid4

import httpx
import pytest

from contracts.attention import AttentionKind
from contracts.bulk import BulkFailure, BulkRun
from contracts.orders import OrderStatus
from database.bulk import BulkRepository
from stack.home import Home
from stack.tokens import sign_token
from tests.acceptance.client import POLL_S, WITHIN_S, Caller, Door
from tests.acceptance.visitor import OWN_PAGE, Visitor, token_of
from tests.accounts import NewAccount, new_address
from tests.bulk import dead_endpoints, started
from tests.jobs import accepted, echo, listed, read, until
from tests.letters import audited, dead, poison
from tests.schedules import opened
from tests.shop import Shop, ShopOrder
from tests.stack_session import RunningStack
from tests.webhooks import hook

FOR_LONG = 1_000
SECONDS_OF_TOKEN = 2
WHY = "ticket 4711: <b>the carrier</b> is back"
QUIET = "daily-digest"


@pytest.fixture
async def olga(visitor: Visitor, operator: Caller) -> Visitor:
    """The operator, signed in to the console."""
    return await visitor.sign_in(token_of(operator), "/console")


@pytest.fixture
def owner(door: Door) -> Caller:
    return door.customer("jobs:write")


async def parked(shop: Shop, **terms: Any) -> ShopOrder:
    """An order that the carrier did not take."""
    order = await shop.order(retry_window_s=1, customer_id=f"customer-{uuid4().hex}", **terms)
    await order.meets("ship", "error_before", times=FOR_LONG)
    await order.start()
    await order.parked()
    return order


async def act(olga: Visitor, path: str, **fields: str) -> httpx.Response:
    """Open the page that asks for a confirmation, and give it."""
    asked = await olga.open(path)
    assert asked.status_code == 200, asked.text
    return await olga.send(path, fields)


def seen(page: httpx.Response) -> str:
    """The words of a page, one space between two."""
    assert page.status_code == 200, page.text
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text.partition("<main")[2])).split())


async def test_a_session_of_the_console_is_short_and_ends_with_its_token(
    visitor: Visitor, operator: Caller, stack: RunningStack
) -> None:
    token = sign_token(Home(stack.home), operator.subject, ["operator"], SECONDS_OF_TOKEN)
    await visitor.sign_in(token, "/console")
    cookie = visitor.cookie

    async with asyncio.timeout(WITHIN_S):
        stream = await visitor.http.get("/console/attention/events")
        while (page := await visitor.http.get("/console", headers={"Cookie": f"session={cookie}"})).status_code == 200:
            await asyncio.sleep(POLL_S)

    assert re.findall(r"^event: (\w+)", stream.text, re.MULTILINE)[-2:] == ["expired", "end"]
    assert (page.status_code, page.headers["location"]) == (303, "/console/sign-in?next=/console")


async def test_signing_out_ends_it(olga: Visitor) -> None:
    answered = await olga.send("/console/sign-out")

    assert (answered.status_code, answered.headers["location"]) == (303, "/console/sign-in")
    assert (await olga.open("/console")).status_code == 303


async def test_a_customer_is_let_in_nowhere(visitor: Visitor, customer: Caller, shop: Shop) -> None:
    order = await shop.place()
    await order.settled()
    await visitor.open("/console/sign-in")
    refused = await visitor.send("/console/sign-in", {"token": token_of(customer)})
    ada = await visitor.sign_in(token_of(customer))

    assert refused.status_code == 422
    for path in (
        "",
        "/attention",
        f"/orders/{order.id}",
        f"/orders/{order.id}/events",
        "/audit",
        f"/search?q={order.id}",
    ):
        page = await ada.http.get(f"/console{path}")
        assert (page.status_code, order.sku in page.text) == (403, False), path
    assert (await ada.send(f"/console/orders/{order.id}/cancel", {"note": "x"})).status_code == 403


@pytest.mark.parametrize(("headers", "csrf"), [(OWN_PAGE, "x"), ({"Sec-Fetch-Site": "cross-site"}, None), ({}, None)])
async def test_a_forged_act_is_refused_and_nothing_happens(
    olga: Visitor, operator: Caller, owner: Caller, headers: dict[str, str], csrf: str | None
) -> None:
    job = await accepted(owner, delay_s=3_600)
    path = f"/console/jobs/{job['id']}/cancel"
    await olga.open(path)

    forged = await olga.http.post(path, data={"csrf": csrf or olga.csrf, "note": "x"}, headers=headers)

    assert forged.status_code == 403
    assert (await read(owner, job))["status"] == "scheduled"
    assert await audited(operator, subject=job["id"]) == []
    await owner.post(job["links"]["cancel"])


async def test_the_overview_counts_what_there_is(olga: Visitor, operator: Caller, shop: Shop) -> None:
    order = await parked(shop)

    words = seen(await olga.open("/console"))
    letters = await dead(operator)

    assert f"{letters['total']:,} Dead letters" in words
    assert re.search(r"[1-9]\d* Orders accepted in the last minute", words)
    assert re.search(r"Needs attention [1-9]", words)
    assert "Order : It is not known whether the carrier has the parcel." in words
    assert re.search(r"[1-9] Workers heard of lately", words)
    assert re.search(r"carrier \d+ \d+ s [1-9]", words)
    await shop.ledger.behave()
    await order.retry()


async def test_a_parked_order_is_listed_with_its_reason_and_its_page_says_all_that_is_known(
    olga: Visitor, shop: Shop, stack: RunningStack
) -> None:
    order = await parked(shop)
    booked = await order.booked()
    [charge] = (await shop.ledger.effects(order.id)).charges

    listed_there = seen(await olga.open("/console/attention?kind=order"))
    page = await olga.open(f"/console/orders/{order.id}")
    words = seen(page)

    stop = booked.timeline[-1].detail
    assert f"Order {order.id} It is not known whether the carrier has the parcel. {stop}" in listed_there
    assert "Needs attention 19.99 USD" in words
    assert f"It waits for an operator {stop[0].upper()}{stop[1:]}." in words
    assert "What is left Ship the parcel." in words
    for entry in booked.timeline:
        assert entry.type.replace("_", " ").capitalize() in words
    for step in booked.steps:
        assert step.key in words
    assert "Shipment of parcel 1 Not known" in words
    assert f"Charge: Charged {booked.steps[-2].reference}" in words
    assert charge["amount"] == 1_999
    assert (
        f'href="{stack.temporal_ui_url}/namespaces/{stack.temporal_namespace}/workflows/order%2F{order.id}"'
        in page.text
    )
    await shop.ledger.behave()
    await order.retry()


async def test_a_call_that_is_being_tried_is_shown_with_its_attempts(olga: Visitor, shop: Shop) -> None:
    order = await shop.order(retry_window_s=600)
    await order.meets("ship", "error_before", times=FOR_LONG)
    await order.start()

    async with asyncio.timeout(WITHIN_S):
        while not (
            found := re.search(r"Being tried now Ship , attempt (\d+) (.*?) Next try", await words_of(olga, order))
        ):
            await asyncio.sleep(POLL_S)

    assert int(found[1]) > 1
    assert "answered 500" in found[2]
    await shop.ledger.behave()
    assert (await order.settled()).status is OrderStatus.COMPLETED


async def words_of(olga: Visitor, order: ShopOrder) -> str:
    page = await olga.open(f"/console/orders/{order.id}")
    return seen(page) if page.status_code == 200 else ""


@pytest.mark.parametrize("note", ["", "   ", "x" * 501, "a\x07b"])
async def test_nothing_is_done_without_a_note_that_can_be_kept(
    olga: Visitor, operator: Caller, owner: Caller, note: str
) -> None:
    job = await accepted(owner, delay_s=3_600)

    refused = await act(olga, f"/console/jobs/{job['id']}/cancel", note=note)

    assert refused.status_code == 422
    assert 'id="note-error"' in refused.text
    assert (await read(owner, job))["status"] == "scheduled"
    assert await audited(operator, subject=job["id"]) == []
    await owner.post(job["links"]["cancel"])


async def test_a_parked_order_is_retried_and_the_audit_log_says_why(
    olga: Visitor, operator: Caller, shop: Shop
) -> None:
    order = await parked(shop)
    await shop.ledger.behave()

    done = await act(olga, f"/console/orders/{order.id}/retry", note=WHY)

    assert (done.status_code, done.headers["location"]) == (303, f"/console/orders/{order.id}")
    assert (await order.settled()).status is OrderStatus.COMPLETED
    [entry] = await audited(operator, subject=order.id)
    assert (entry["action"], entry["actor"], entry["note"]) == ("order.retry", "olga", WHY)
    assert entry["request_id"] == done.headers["x-request-id"]
    for path in (f"/console/orders/{order.id}", f"/console/audit?subject={order.id}"):
        page = await olga.open(path)
        assert "order.retry by olga" in seen(page)
        assert WHY in seen(page)
        assert "<b>" not in page.text
    again = await act(olga, f"/console/orders/{order.id}/retry", note="once more")
    assert again.status_code == 409
    assert "Its status is completed." in again.text
    assert 'value="once more"' in again.text
    assert len(await audited(operator, subject=order.id)) == 1


async def test_the_audit_log_is_searched_by_the_form_with_one_field_or_both_or_none(
    olga: Visitor, operator: Caller, owner: Caller
) -> None:
    job = await accepted(owner, delay_s=3_600)
    await act(olga, f"/console/jobs/{job['id']}/cancel", note=WHY)
    fields = {"subject": job["id"], "actor": "olga"}

    for typed, finds_it in (
        ({}, True),
        ({"subject": f" {job['id']} "}, True),
        ({"actor": "olga"}, True),
        (fields, True),
        ({**fields, "actor": "otto"}, False),
    ):
        await olga.open("/console/audit")
        page = await olga.look_up("/console/audit", **typed)
        assert (job["id"] in seen(page)) == finds_it, typed
    assert (await olga.look_up("/console/search", q="")).status_code == 200


async def test_an_order_is_resolved_with_the_status_that_is_chosen(olga: Visitor, operator: Caller, shop: Shop) -> None:
    order = await parked(shop)
    path = f"/console/orders/{order.id}/resolve"

    unsaid = await act(olga, path, note=WHY)
    contradicted = await act(olga, path, note=WHY, status="completed")
    await shop.ledger.behave()
    done = await act(olga, path, note=WHY, status="cancelled")

    assert (unsaid.status_code, contradicted.status_code, done.status_code) == (422, 409, 303)
    assert (await order.settled()).status is OrderStatus.CANCELLED
    assert (await shop.ledger.effects(order.id)).money_kept == 0
    assert [entry["action"] for entry in await audited(operator, subject=order.id)] == ["order.resolve"]


@pytest.mark.parametrize(
    ("deed", "status"), [("approve", "completed"), ("reject", "rejected"), ("cancel", "cancelled")]
)
async def test_an_order_that_waits_for_approval_is_decided(
    olga: Visitor, operator: Caller, shop: Shop, deed: str, status: str
) -> None:
    order = await shop.place(amount=74_900)
    await order.until(OrderStatus.AWAITING_APPROVAL)

    assert (await act(olga, f"/console/orders/{order.id}/{deed}", note=WHY)).status_code == 303

    assert (await order.settled()).status == status
    [entry] = await audited(operator, subject=order.id)
    assert (entry["action"], entry["note"]) == (f"order.{deed}", WHY)


async def test_orders_are_listed_by_status_page_by_page(olga: Visitor, operator: Caller, shop: Shop) -> None:
    orders = [await shop.place() for _ in range(3)]
    await asyncio.gather(*(order.settled() for order in orders))

    first = await olga.open("/console/orders?status=completed")

    wanted = [order["id"] for order in (await operator.get("/v1/orders", status="completed", limit=25)).json()["items"]]
    assert re.findall(r'href="/console/orders/(ord_\w+)"', first.text) == wanted
    assert (await olga.open("/console/orders?status=nonsense")).status_code == 422
    assert (await olga.open("/console/orders?cursor=nonsense")).status_code == 400


async def test_a_dead_job_is_shown_retried_and_discarded(olga: Visitor, operator: Caller, owner: Caller) -> None:
    job = await poison(owner, fail_times=6)
    where = f"/console/jobs/{job['id']}"
    shown = seen(await olga.open(where))
    assert f"diagnostics.echo · {owner.subject}" in shown
    assert "attempt 5 fails, as told" in shown
    assert '"fail_times": 6' in shown

    retried = await act(olga, f"/console/dead-letters/{job['id']}/retry", note=WHY)

    assert (retried.status_code, retried.headers["location"]) == (303, where)
    await until(owner, job, "succeeded")
    other = await poison(owner)
    assert (await act(olga, f"/console/dead-letters/{other['id']}/discard", note="an old test")).status_code == 303
    assert other["id"] not in (await olga.open("/console/attention")).text
    for dead_job, action, note in ((job, "job.retry", WHY), (other, "job.discard", "an old test")):
        [entry] = await audited(operator, subject=dead_job["id"])
        assert (entry["action"], entry["note"]) == (action, note)


async def test_a_mail_that_came_back_says_what_it_is_about_and_is_sent_again(
    olga: Visitor, operator: Caller, shop: Shop
) -> None:
    email = new_address()
    await shop.ledger.misbehave(email, "send", "decline")
    account = await NewAccount.signed_up(shop, email)
    async with asyncio.timeout(WITHIN_S):
        while not (found := (await dead(operator, kind="mail", subject=account.id))["items"]):
            await asyncio.sleep(POLL_S)
    where = f"/console/mails/{found[0]['id']}"
    assert f'href="{where}"' in (await olga.open("/console/attention?kind=mail")).text

    came_back = await olga.open(where)
    again = await act(olga, f"/console/dead-letters/{found[0]['id']}/retry", note=WHY)
    await account.until_mails("welcome")
    sent = seen(await olga.open(where))

    assert f'href="/console/accounts/{account.id}"' in came_back.text
    assert email not in came_back.text
    assert "Bounced Welcome" in seen(came_back)
    assert (again.status_code, again.headers["location"]) == (303, where)
    assert "Send the mail again" not in sent
    assert f"“{WHY}”" in sent
    assert (await olga.open("/console/mails/mail_00000000000000000000000000")).status_code == 404


async def test_a_job_is_cancelled_and_jobs_are_listed(olga: Visitor, operator: Caller, owner: Caller) -> None:
    job = await accepted(owner, delay_s=3_600, arguments={"message": "<i>hello</i>"})
    page = await olga.open("/console/jobs?status=scheduled")
    assert f'href="/console/jobs/{job["id"]}"' in page.text

    assert (await act(olga, f"/console/jobs/{job['id']}/cancel", note=WHY)).status_code == 303

    assert (await read(owner, job))["status"] == "cancelled"
    [entry] = await audited(operator, subject=job["id"])
    assert (entry["action"], entry["note"]) == ("job.cancel", WHY)
    assert "<i>" not in (await olga.open(f"/console/jobs/{job['id']}")).text


async def test_a_job_that_runs_is_told_to_stop_once(operator: Caller, owner: Caller) -> None:
    job = await echo(owner, sleep_s=20)
    await until(owner, job, "running")

    answers = await asyncio.gather(*(operator.post(job["links"]["cancel"]) for _ in range(2)))

    assert [answer.status_code for answer in answers] == [200, 200]
    [entry] = await audited(operator, subject=job["id"])
    assert (entry["before"]["cancel_requested"], entry["after"]["cancel_requested"]) == (False, True)
    await until(owner, job, "cancelled")


async def test_all_that_fit_are_retried_after_a_preview(olga: Visitor, operator: Caller, owner: Caller) -> None:
    jobs = [await poison(owner, fail_times=5) for _ in range(2)]
    path = "/console/all/retry?kind=job&reason=told_to_fail"
    preview = await olga.open(path)
    matching = (await dead(operator, kind="job", reason="told_to_fail"))["total"]
    assert f"Retry all {matching} of them?" in seen(preview)
    fields = {name: olga.hidden(name) for name in ("key", "expected", "kind", "reason")}

    without_note = await olga.send("/console/all/retry", fields)
    differs = await olga.send("/console/all/retry", {**fields, "note": WHY, "expected": str(matching + 1)})
    wrong = [{"kind": "letter"}, {"expected": "x"}, {"expected": "9" * 5_000}, {"expected": "-1"}, {"key": ""}]
    made_up = [await olga.send("/console/all/retry", {**fields, "note": WHY, **field}) for field in wrong]
    assert [answered.status_code for answered in made_up] == [422] * len(wrong)
    await olga.open(path)
    assert (without_note.status_code, differs.status_code) == (422, 409)
    assert [job["status"] for job in await listed(owner)] == ["failed", "failed"]
    begun = await olga.send("/console/all/retry", {**fields, "note": WHY})
    twice = await olga.send("/console/all/retry", {**fields, "note": WHY})

    assert begun.status_code == 303, begun.text
    where = begun.headers["location"]
    assert twice.headers["location"] == where
    async with asyncio.timeout(WITHIN_S):
        while "Finished" not in (words := seen(await olga.open(where))):
            await asyncio.sleep(POLL_S)
    assert f"{matching} of {matching} are dealt with" in words
    for job in jobs:
        await until(owner, job, "succeeded")
        [entry] = await audited(operator, subject=job["id"])
        assert (entry["action"], entry["note"]) == ("job.retry", WHY)


async def test_all_that_fit_are_discarded_and_orders_resolved(olga: Visitor, operator: Caller, shop: Shop) -> None:
    endpoint, order = (await dead_endpoints(shop, 1))[0], await parked(shop)

    async def ask(deed: str, **fields: str) -> httpx.Response:
        await olga.open(f"/console/all/{deed}?kind={fields['kind']}&reason={fields['reason']}")
        return await olga.send(f"/console/all/{deed}", {n: olga.hidden(n) for n in ("key", "expected")} | fields)

    gone = {"kind": "webhook_endpoint", "reason": "gone"}
    without_note = await ask("discard", **gone)
    forged = await olga.send("/console/all/discard", {"csrf": "x", "key": "k", "expected": "1", "note": WHY, **gone})
    assert (without_note.status_code, forged.status_code) == (422, 403)
    assert (await dead(operator, **gone))["total"] > 0
    discarded = await ask("discard", **gone, note=WHY)

    stuck = {"kind": "order", "reason": "stuck_at_ship"}
    left = await ask("discard", **stuck, note=WHY)
    without_status = await ask("resolve", **stuck, note=WHY)
    await shop.ledger.behave()
    resolved = await ask("resolve", **stuck, note=WHY, status="cancelled")

    assert (discarded.status_code, discarded.headers["location"]) == (303, "/console/attention")
    assert (await dead(operator, **gone))["total"] == 0
    [entry] = await audited(operator, subject=endpoint.id)
    assert (entry["action"], entry["note"]) == ("webhook_endpoint.discard", WHY)
    assert f"these were left. {order.id} Must be resolved" in seen(left)
    assert without_status.status_code == 422
    assert (resolved.status_code, resolved.headers["location"][:18]) == (303, "/console/bulk/blk_")
    assert (await order.settled()).status is OrderStatus.CANCELLED
    [entry] = await audited(operator, subject=order.id)
    assert (entry["action"], entry["note"]) == ("order.resolve", WHY)
    assert (await olga.open("/console/all/forget")).status_code in (404, 422)


async def test_a_bulk_action_that_failed_is_gone_on_with(olga: Visitor, operator: Caller, shop: Shop) -> None:
    endpoints = await dead_endpoints(shop, 3)
    bulk = await started(operator, {"subject": endpoints[0].owner}, expected=3, per_second=0.1)
    await bulk.until(lambda now: now["counts"]["done"] == 1)
    await BulkRepository(shop.engine).fail(BulkRun(bulk_id=bulk.id), BulkFailure.PROCESS_TERMINATED)
    where = f"/console/bulk/{bulk.id}"

    failed = seen(await olga.open(where))
    without_note = await act(olga, f"{where}/resume")
    resumed = await act(olga, f"{where}/resume", note=WHY)
    twice = await act(olga, f"{where}/resume", note=WHY)

    assert "Failed 3 of 3 are dealt with" in failed
    assert "Somebody terminated its process in Temporal." in failed
    assert (without_note.status_code, resumed.status_code, twice.status_code) == (422, 303, 409)
    assert "Go on with the rest" not in seen(await olga.open(where))
    assert (await act(olga, f"{where}/cancel", note=WHY)).status_code == 303
    entries = await audited(operator, subject=bulk.id)
    assert [entry["action"] for entry in entries] == ["bulk.cancel", "bulk.resume", "bulk.start"]
    assert [entry["note"] for entry in entries[:2]] == [WHY, WHY]


async def test_deliveries_are_shown_and_sent_again(olga: Visitor, operator: Caller, door: Door) -> None:
    keeper = door.customer("webhooks:write")
    async with hook() as receiver:
        made = await keeper.post("/v1/webhook-endpoints", json={"url": receiver.url(), "event_types": ["*"]})
        endpoint = made.json()
        sent = (await keeper.post(f"{endpoint['links']['self']}/test")).json()
        await receiver.until_got(1)

        listed_there = await olga.open("/console/webhooks")
        assert f'href="/console/webhooks/{endpoint["id"]}"' in listed_there.text
        page = await olga.open(f"/console/webhooks/{endpoint['id']}")
        assert f'href="/console/deliveries/{sent["id"]}"' in page.text
        assert endpoint["secret"] not in page.text
        one = seen(await olga.open(f"/console/deliveries/{sent['id']}"))
        assert f"Message {sent['webhook_id']}" in one
        done = await act(olga, f"/console/deliveries/{sent['id']}/redeliver", note=WHY)
        assert (done.status_code, done.headers["location"]) == (303, f"/console/webhooks/{endpoint['id']}")
        await receiver.until_got(2)
        copied, other = [item["id"] for item in (await keeper.get(endpoint["links"]["deliveries"])).json()["items"]]
        assert other == sent["id"]
        for delivery in (copied, other):
            words = seen(await olga.open(f"/console/deliveries/{delivery}")).partition("What operators did")[2]
            assert words.count("webhook_endpoint.redeliver by olga") == 1
            assert WHY in words

    assert {message.webhook_id for message in receiver.messages} == {sent["webhook_id"]}
    deliveries = (await keeper.get(endpoint["links"]["deliveries"])).json()["items"]
    assert len(deliveries) == 2
    [entry] = await audited(operator, subject=endpoint["id"])
    assert (entry["action"], entry["note"]) == ("webhook_endpoint.redeliver", WHY)


async def test_an_item_that_was_looked_at_is_closed(olga: Visitor, operator: Caller, shop: Shop) -> None:
    item = await opened(shop, AttentionKind.REFUND_DIFFERS, "<i>5.00 usd</i> was given back")
    page = await olga.open("/console/attention")
    [path] = re.findall(rf'href="(/console/attention/{item.id}/close)"', page.text)
    assert "<i>" not in page.text

    asked = seen(await olga.open(path))
    unsaid = await olga.send(path, {"note": " "})
    forged = await olga.http.post(path, data={"csrf": "x", "note": WHY}, headers=OWN_PAGE)
    done = await act(olga, path, note=WHY)
    again = await act(olga, path, note="once more")

    assert "Close the item? <i>5.00 usd</i> was given back" in asked
    assert (unsaid.status_code, forged.status_code) == (422, 403)
    assert (done.status_code, done.headers["location"]) == (303, "/console/attention")
    assert again.status_code == 303
    assert item.id not in (await olga.open("/console/attention")).text
    [entry] = await audited(operator, subject=item.id)
    assert (entry["action"], entry["note"]) == ("attention_item.close", WHY)
    for unknown in ("att_00000000000000000000000000", "x"):
        assert (await olga.open(f"/console/attention/{unknown}/close")).status_code == 404


async def test_a_schedule_is_paused_triggered_and_resumed(olga: Visitor, operator: Caller) -> None:
    path = f"/console/schedules/{QUIET}"
    try:
        assert (await act(olga, f"{path}/pause", note="the mail server moves house")).status_code == 303
        assert (await operator.get(f"/v1/admin/schedules/{QUIET}")).json()["paused"] is True
        assert "Paused" in seen(await olga.open(path))
        assert "“the mail server moves house”" in seen(await olga.open("/console/schedules"))
        runs = {run["run_id"] for run in (await operator.get(f"/v1/admin/schedules/{QUIET}")).json()["last_runs"]}
        assert (await act(olga, f"{path}/trigger", note="once by hand")).status_code == 303
        async with asyncio.timeout(WITHIN_S):
            while (
                not {run["run_id"] for run in (await operator.get(f"/v1/admin/schedules/{QUIET}")).json()["last_runs"]}
                - runs
            ):
                await asyncio.sleep(POLL_S)
    finally:
        await act(olga, f"{path}/resume", note="it has moved")
    assert (await operator.get(f"/v1/admin/schedules/{QUIET}")).json()["paused"] is False
    acts = [(entry["action"], entry["note"]) for entry in await audited(operator, subject=QUIET, limit=3)]
    assert acts == [
        ("schedule.resume", "it has moved"),
        ("schedule.trigger", "once by hand"),
        ("schedule.pause", "the mail server moves house"),
    ]
    assert (await olga.open("/console/schedules/nothing")).status_code == 404


async def test_whatever_has_an_id_is_found_by_it(
    olga: Visitor, owner: Caller, door: Door, http: httpx.AsyncClient
) -> None:
    email = f"{uuid4().hex}@example.com"
    account = (await http.post("/v1/accounts", json={"email": email, "name": "<u>Eve</u>"})).json()
    job = await echo(owner)
    headers = {"Idempotency-Key": uuid4().hex}
    batch = (
        await owner.post("/v1/jobs/batch", headers, json={"type": "diagnostics.echo", "items": [{"message": "x"}]})
    ).json()
    order = await door.customer().placed()
    for found, folder in ((account, "accounts"), (job, "jobs"), (batch, "batches"), (order, "orders")):
        answered = await olga.open(f"/console/search?q=%20{found['id']}%20")
        assert (answered.status_code, answered.headers["location"]) == (303, f"/console/{folder}/{found['id']}")
        page = await olga.open(answered.headers["location"])
        assert found["id"] in seen(page)
        assert email not in page.text
        assert "<u>" not in page.text
    for unknown in ("ord_00000000000000000000000000", "whd_00000000000000000000000000"):
        answered = await olga.open(f"/console/search?q={unknown}")
        assert (await olga.open(answered.headers["location"])).status_code == 404
    nothing = await olga.open("/console/search?q=%3Cscript%3E")
    assert nothing.status_code == 404
    assert "<script>" not in nothing.text


async def test_the_list_follows_what_happens(olga: Visitor, owner: Caller) -> None:
    page = await olga.open("/console/attention")
    [stream] = re.findall(r'sse-connect="([^"]+)"', page.text)
    async with olga.http.stream("GET", unescape(stream), headers={"Accept": "text/event-stream"}) as events:
        job = await poison(owner)
        async with asyncio.timeout(WITHIN_S):
            text = ""
            async for line in events.aiter_lines():
                text += f"{line}\n"
                if job["id"] in line:
                    break
    assert events.headers["content-type"].startswith("text/event-stream")
    assert re.search(r"^event: attention$", text, re.MULTILINE)
    await act(olga, f"/console/dead-letters/{job['id']}/discard", note="seen")
