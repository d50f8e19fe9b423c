"""Webhook endpoints over HTTP: who sees what, what is refused, and what is told of deliveries."""

import asyncio
import re
from typing import Any

import httpx
import pytest

from tests.acceptance.client import POLL_S, WITHIN_S, Caller, Door, assert_problem
from tests.webhooks import answer, hook

Json = dict[str, Any]

PATH = "/v1/webhook-endpoints"
# A name that nobody has (RFC 6761, section 6.4): there is no address to be refused.
URL = "https://hooks.invalid/in"
UNKNOWN = f"{PATH}/whe_00000000000000000000000000"
UNKNOWN_DELIVERY = "whd_00000000000000000000000000"
SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{43}=")
FIELDS = {
    *("id", "owner", "url", "event_types", "description", "status", "disabled_reason"),
    *("created_at", "updated_at", "links"),
}
DELIVERY_FIELDS = {
    *("id", "webhook_id", "event_type", "status", "attempts", "response_status", "duration_ms", "error"),
    *("created_at", "updated_at"),
}


@pytest.fixture
def owner(door: Door) -> Caller:
    return door.customer("webhooks:write")


def endpoint_body(**changes: Any) -> Json:
    return {"url": URL, "event_types": ["order.*"], **changes}


async def created(caller: Caller, **changes: Any) -> Json:
    """A new endpoint, with its secret."""
    answer = await caller.post(PATH, json=endpoint_body(**changes))
    assert answer.status_code == 201, answer.text
    endpoint: Json = answer.json()
    return endpoint


async def deliveries(caller: Caller, endpoint: Json) -> list[Json]:
    answer = await caller.get(endpoint["links"]["deliveries"])
    assert answer.status_code == 200, answer.text
    items: list[Json] = answer.json()["items"]
    return items


async def probed(caller: Caller, endpoint: Json) -> Json:
    """The delivery of a test event, once it was attempted."""
    asked = await caller.post(f"{PATH}/{endpoint['id']}/test")
    assert asked.status_code == 202, asked.text
    assert asked.json().keys() == DELIVERY_FIELDS
    return await attempted(caller, endpoint, asked.json()["id"])


async def attempted(caller: Caller, endpoint: Json, delivery_id: str) -> Json:
    async with asyncio.timeout(WITHIN_S):
        while True:
            [found] = [one for one in await deliveries(caller, endpoint) if one["id"] == delivery_id]
            if found["attempts"]:
                return found
            await asyncio.sleep(POLL_S)


# Making and reading


async def test_a_new_endpoint_is_answered_with_its_secret_once(owner: Caller) -> None:
    made = await owner.post(PATH, json=endpoint_body(event_types=["order.*", "account.confirmed"], description="ours"))

    assert made.status_code == 201
    endpoint = made.json()
    assert endpoint.keys() == FIELDS | {"secret"}
    assert SECRET.fullmatch(endpoint["secret"])
    assert re.fullmatch(r"whe_[0-9A-HJKMNP-TV-Z]{26}", endpoint["id"])
    assert made.headers["location"] == endpoint["links"]["self"] == f"{PATH}/{endpoint['id']}"
    shown = {name: endpoint[name] for name in ("url", "event_types", "description", "status", "owner")}
    assert shown == {
        "url": URL,
        "event_types": ["order.*", "account.confirmed"],
        "description": "ours",
        "status": "active",
        "owner": owner.subject,
    }
    assert endpoint["created_at"].endswith("Z")
    read = await owner.get(endpoint["links"]["self"])
    listed = await owner.get(PATH)
    assert read.json() == {name: value for name, value in endpoint.items() if name != "secret"}
    assert listed.json() == {"items": [read.json()], "next_cursor": None}
    assert "whsec_" not in read.text + listed.text


async def test_two_endpoints_have_two_secrets(owner: Caller) -> None:
    assert (await created(owner))["secret"] != (await created(owner))["secret"]


async def test_pages_hold_every_endpoint_once_newest_first(owner: Caller) -> None:
    ids = [(await created(owner))["id"] for _ in range(5)]
    seen: list[str] = []
    cursor: dict[str, str] = {}

    while True:
        page = (await owner.get(PATH, limit=2, **cursor)).json()
        seen += [endpoint["id"] for endpoint in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}

    assert seen == ids[::-1]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "status=active"])
async def test_a_bad_page_is_refused(owner: Caller, query: str) -> None:
    endpoint = await created(owner)

    for path in (PATH, endpoint["links"]["deliveries"]):
        assert_problem(await owner.get(f"{path}?{query}"), 422, "invalid_request")
        assert_problem(await owner.get(f"{path}?cursor=made-up"), 400, "invalid_cursor")


# Changing


async def test_what_is_left_out_of_a_change_stays(owner: Caller) -> None:
    endpoint = await created(owner, description="old")
    path = endpoint["links"]["self"]

    changed = await owner.patch(path, {"url": f"{URL}/new", "event_types": ["*"]})
    cleared = await owner.patch(path, {"description": None})
    unchanged = await owner.patch(path, {})

    assert changed.status_code == 200
    assert (changed.json()["url"], changed.json()["event_types"]) == (f"{URL}/new", ["*"])
    assert (changed.json()["description"], cleared.json()["description"]) == ("old", None)
    assert changed.json()["updated_at"] > endpoint["updated_at"]
    assert unchanged.json() == cleared.json() == (await owner.get(path)).json()


async def test_an_endpoint_is_disabled_and_made_active_again(owner: Caller) -> None:
    async with hook() as receiver:
        endpoint = await created(owner, url=receiver.url())

        disabled = await owner.patch(endpoint["links"]["self"], {"status": "disabled"})
        assert (disabled.json()["status"], disabled.json()["disabled_reason"]) == ("disabled", "owner")
        asked = await owner.post(f"{PATH}/{endpoint['id']}/test")
        assert await settled(owner, endpoint, asked.json()["id"]) == ("failed", 0, "the endpoint is disabled")
        active = await owner.patch(endpoint["links"]["self"], {"status": "active"})
        assert (active.json()["status"], active.json()["disabled_reason"]) == ("active", None)
        assert (await probed(owner, endpoint))["status"] == "succeeded"

    assert len(receiver.messages) == 1


async def settled(caller: Caller, endpoint: Json, delivery_id: str) -> tuple[str, int, str | None]:
    async with asyncio.timeout(WITHIN_S):
        while True:
            [found] = [one for one in await deliveries(caller, endpoint) if one["id"] == delivery_id]
            if found["status"] != "pending":
                return found["status"], found["attempts"], found["error"]
            await asyncio.sleep(POLL_S)


async def test_a_deleted_endpoint_is_gone_with_its_deliveries(owner: Caller) -> None:
    endpoint = await created(owner)
    path = endpoint["links"]["self"]

    deleted = await owner.delete(path)

    assert (deleted.status_code, deleted.content) == (204, b"")
    for answered in (
        await owner.get(path),
        await owner.delete(path),
        await owner.patch(path, {}),
        await owner.post(f"{path}/test"),
        await owner.get(f"{path}/deliveries"),
    ):
        assert_problem(answered, 404, "not_found")
    assert (await owner.get(PATH)).json()["items"] == []


async def test_an_owner_has_a_hundred_endpoints_at_most(owner: Caller) -> None:
    made = [await created(owner) for _ in range(100)]

    assert_problem(await owner.post(PATH, json=endpoint_body()), 409, "too_many_endpoints")
    await owner.delete(made[0]["links"]["self"])
    await created(owner)


# Bad input

INVALID = {
    "no url": ({"event_types": ["*"]}, "url"),
    "url null": (endpoint_body(url=None), "url"),
    "a number for a url": (endpoint_body(url=1), "url"),
    "no event types": ({"url": URL}, "event_types"),
    "none": (endpoint_body(event_types=[]), "event_types"),
    "51 event types": (endpoint_body(event_types=["*"] * 51), "event_types"),
    "an unknown event type": (endpoint_body(event_types=["order.*", "order.lost"]), "event_types.1"),
    "an unknown family": (endpoint_body(event_types=["payment.*"]), "event_types.0"),
    "the test event": (endpoint_body(event_types=["webhook.test"]), "event_types.0"),
    "a text of event types": (endpoint_body(event_types="*"), "event_types"),
    "a long description": (endpoint_body(description="x" * 501), "description"),
    "NUL in the description": (endpoint_body(description="\x00"), "description"),
    "a secret of one's own": (endpoint_body(secret="whsec_AAAA"), "secret"),
    "a status": (endpoint_body(status="active"), "status"),
    "a list": ([], "body"),
}


@pytest.mark.parametrize(("body", "field"), INVALID.values(), ids=INVALID.keys())
async def test_an_invalid_endpoint_is_refused_with_the_name_of_the_field(owner: Caller, body: Any, field: str) -> None:
    problem = assert_problem(await owner.post(PATH, json=body), 422, "invalid_request")

    assert field in [error["field"] for error in problem["errors"]]


async def test_a_refused_event_type_is_answered_with_those_there_are(owner: Caller) -> None:
    problem = assert_problem(await owner.post(PATH, json=endpoint_body(event_types=["x"])), 422, "invalid_request")

    for allowed in ("*", "order.*", "shipment.*", "job.*", "order.completed", "account.confirmed"):
        assert allowed in problem["errors"][0]["message"]


async def test_every_event_type_that_is_offered_is_taken(owner: Caller, http: httpx.AsyncClient) -> None:
    described = (await http.get("/openapi.json")).json()["components"]["schemas"]["EndpointBody"]
    offered = described["properties"]["event_types"]["items"]["enum"]

    assert (await created(owner, event_types=offered))["event_types"] == offered


@pytest.mark.parametrize(
    "change", [{"url": None}, {"event_types": None}, {"status": None}, {"status": "lost"}, {"secret": "x"}], ids=str
)
async def test_an_invalid_change_is_refused(owner: Caller, change: Json) -> None:
    endpoint = await created(owner)

    assert_problem(await owner.patch(endpoint["links"]["self"], change), 422, "invalid_request")


NOT_ALLOWED = [
    *("", "x", "hooks.example.com", "//example.com/", "https://", "https:///x", "ftp://example.com/", "javascript:1"),
    *("http://example.com/", "https://example.com:22/", "https://example.com:0/", "https://example.com:65536/"),
    *("https://user:password@example.com/", "https://@example.com/", "https://example.com/#top"),
    *("https://localhost/", "https://intranet/", "https://a.local/", "https://metadata.google.internal/"),
    *("https://127.0.0.1/", "https://10.0.0.1/", "https://172.16.0.1/", "https://192.168.1.1/", "https://0.0.0.0/"),
    *("https://169.254.169.254/latest/meta-data", "https://100.64.0.1/", "https://224.0.0.1/", "https://192.0.2.1/"),
    *("https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/", "https://0x7f.1/"),
    *("https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[64:ff9b::7f00:1]/"),
    *("https://[2002:7f00:1::]/", "https://[fe80::1]/", "https://[fc00::1]/", "https://[ff02::1]/", "https://[::]/"),
    *("https://exa mple.com/", "https://example.com/\n", "https://ex\u00e4mple.com/", "https://127.0.0.1\uff0e/"),
    *("https://example.com\\@127.0.0.1/", "https://127.0.0.1%2f@example.com/", "https://example.com/\x00"),
    "https://example.com/" + "x" * 2_000,
]


@pytest.mark.parametrize("url", NOT_ALLOWED, ids=lambda url: ascii(url[:40]))
async def test_a_url_that_leads_elsewhere_than_to_the_public_internet_is_refused(owner: Caller, url: str) -> None:
    problem = assert_problem(await owner.post(PATH, json=endpoint_body(url=url)), 422, "url_not_allowed")

    assert problem["detail"].startswith("The URL is not allowed: ")
    assert (await owner.get(PATH)).json()["items"] == []


async def test_a_change_of_the_url_follows_the_same_rules(owner: Caller) -> None:
    endpoint = await created(owner)

    for url in ("http://example.com/", "https://127.0.0.1/"):
        assert_problem(await owner.patch(endpoint["links"]["self"], {"url": url}), 422, "url_not_allowed")
    assert (await owner.get(endpoint["links"]["self"])).json()["url"] == URL


async def test_only_the_very_host_and_port_that_are_configured_are_exempt(owner: Caller) -> None:
    async with hook() as receiver:
        address, _, port = receiver.host.rpartition(":")
        await created(owner, url=f"http://{receiver.host}/")
        for url in (f"http://{address}/", f"http://{address}:{int(port) + 1}/", f"http://127.0.0.1:{port}/"):
            assert_problem(await owner.post(PATH, json=endpoint_body(url=url)), 422, "url_not_allowed")


@pytest.mark.parametrize("no_id", ["x", "%00", "whe_", "ord_00000000000000000000000000", "..%2F.."])
async def test_what_is_no_id_names_nothing(owner: Caller, no_id: str) -> None:
    endpoint = await created(owner)

    assert_problem(await owner.get(f"{PATH}/{no_id}"), 404, "not_found")
    assert_problem(await owner.post(f"{PATH}/{no_id}/test"), 404, "not_found")
    redeliver = f"{endpoint['links']['deliveries']}/{no_id}/redeliver"
    assert_problem(await owner.post(redeliver), 404, "not_found")


# Who may


@pytest.mark.parametrize("scope", ["orders:write", "webhooks:read", ""])
async def test_the_scope_is_needed_before_anything_else(door: Door, scope: str) -> None:
    stranger = door.customer(scope)
    for method, path in (
        ("POST", PATH),
        ("GET", PATH),
        ("GET", f"{PATH}/x"),
        ("PATCH", UNKNOWN),
        ("DELETE", UNKNOWN),
        ("POST", f"{UNKNOWN}/rotate-secret"),
        ("POST", f"{UNKNOWN}/test"),
        ("GET", f"{UNKNOWN}/deliveries"),
        ("POST", f"{UNKNOWN}/deliveries/{UNKNOWN_DELIVERY}/redeliver"),
    ):
        answered = await stranger.http.request(method, path, headers=stranger.headers, content=b"[")
        assert_problem(answered, 403, "forbidden")


async def test_anothers_endpoint_does_not_exist(door: Door, owner: Caller) -> None:
    stranger = door.customer("webhooks:write")
    async with hook() as receiver:
        endpoint = await created(owner, url=receiver.url())
        delivery = await probed(owner, endpoint)
        path = endpoint["links"]["self"]

        for answered in (
            await stranger.get(path),
            await stranger.patch(path, {"url": URL}),
            await stranger.delete(path),
            await stranger.post(f"{path}/rotate-secret"),
            await stranger.post(f"{path}/test"),
            await stranger.get(f"{path}/deliveries"),
            await stranger.post(f"{path}/deliveries/{delivery['id']}/redeliver"),
        ):
            assert_problem(answered, 404, "not_found")
        own = await created(stranger, url=receiver.url())
        another = f"{own['links']['deliveries']}/{delivery['id']}/redeliver"
        assert_problem(await stranger.post(another), 404, "not_found")
        assert [found["id"] for found in (await stranger.get(PATH)).json()["items"]] == [own["id"]]

    assert len(receiver.messages) == 1


async def test_operators_see_and_repair_everybodys_endpoints(owner: Caller, operator: Caller) -> None:
    endpoint = await created(owner)

    assert (await operator.get(endpoint["links"]["self"])).json()["owner"] == owner.subject
    assert endpoint["id"] in [found["id"] for found in (await operator.get(PATH, limit=100)).json()["items"]]
    disabled = await operator.patch(endpoint["links"]["self"], {"status": "disabled"})
    assert disabled.json()["status"] == "disabled"


async def test_what_an_operator_makes_is_the_systems(door: Door, owner: Caller, operator: Caller) -> None:
    endpoint = await created(operator)
    try:
        assert endpoint["owner"] is None
        assert_problem(await owner.get(endpoint["links"]["self"]), 404, "not_found")
    finally:
        assert (await operator.delete(endpoint["links"]["self"])).status_code == 204


# Deliveries


async def test_a_test_event_is_delivered_and_listed(owner: Caller) -> None:
    async with hook() as receiver:
        endpoint = await created(owner, url=receiver.url("/in?a=1"), event_types=["account.confirmed"])

        delivery = await probed(owner, endpoint)

        assert (delivery["event_type"], delivery["status"], delivery["response_status"]) == (
            *("webhook.test", "succeeded"),
            200,
        )
        assert delivery["attempts"] == 1
        assert delivery["duration_ms"] >= 0
        [message] = receiver.messages
        assert message.path == "/in?a=1"
        assert message.webhook_id == delivery["webhook_id"]
        said = message.verified(endpoint["secret"])
        assert said["data"] == {"id": endpoint["id"], "status": "active"}
        assert said["type"] == "webhook.test"


async def test_a_failure_is_told_in_a_line(owner: Caller) -> None:
    async with hook(answer(302, location="http://127.0.0.1/")) as receiver:
        endpoint = await created(owner, url=receiver.url())

        delivery = await probed(owner, endpoint)

        assert (delivery["status"], delivery["response_status"]) == ("pending", 302)
        assert delivery["error"] == "the receiver answered 302"
        await owner.delete(endpoint["links"]["self"])


async def test_a_message_is_redelivered_under_its_webhook_id(owner: Caller) -> None:
    async with hook() as receiver:
        endpoint = await created(owner, url=receiver.url())
        first = await probed(owner, endpoint)

        asked = await owner.post(f"{endpoint['links']['deliveries']}/{first['id']}/redeliver")

        assert asked.status_code == 202
        again = await attempted(owner, endpoint, asked.json()["id"])
        assert again["id"] != first["id"]
        assert again["webhook_id"] == first["webhook_id"]
        one, other = receiver.messages
        assert one.body == other.body
        assert one.webhook_id == other.webhook_id
        other.verified(endpoint["secret"])
        assert [found["id"] for found in await deliveries(owner, endpoint)] == [again["id"], first["id"]]
        unknown = f"{endpoint['links']['deliveries']}/{UNKNOWN_DELIVERY}/redeliver"
        assert_problem(await owner.post(unknown), 404, "not_found")


async def test_after_a_rotation_both_secrets_verify(owner: Caller) -> None:
    async with hook() as receiver:
        endpoint = await created(owner, url=receiver.url())

        rotated = await owner.post(f"{PATH}/{endpoint['id']}/rotate-secret")

        assert rotated.status_code == 200
        assert rotated.json().keys() == FIELDS | {"secret"}
        assert SECRET.fullmatch(rotated.json()["secret"])
        assert rotated.json()["secret"] != endpoint["secret"]
        await probed(owner, endpoint)
        [message] = receiver.messages
        for secret in (endpoint["secret"], rotated.json()["secret"]):
            message.verified(secret)
