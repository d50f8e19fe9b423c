"""Who may do what, and that this is asked before anything else."""

import json
import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.acceptance.client import BIKE, Caller, Door, assert_problem, new_key, order_body
from tests.stack_session import RunningStack

UNKNOWN = "ord_00000000000000000000000000"


@pytest.fixture(scope="module")
def good_claims() -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": "followthrough",
        "aud": "followthrough-api",
        "sub": "ada",
        "scope": "orders:read",
        "exp": now + 600,
        "nbf": now,
    }


def signed(stack: RunningStack, claims: dict[str, Any], key: Any = None, algorithm: str = "EdDSA") -> str:
    key_id = json.loads((stack.home / "jwks.json").read_text())["keys"][0]["kid"]
    own: Any = load_pem_private_key((stack.home / "signing-key.pem").read_bytes(), password=None)
    return jwt.encode(claims, key if key is not None else own, algorithm=algorithm, headers={"kid": key_id})


async def orders_with(http: httpx.AsyncClient, token: str) -> httpx.Response:
    return await http.get("/v1/orders", headers={"Authorization": f"Bearer {token}"})


async def test_a_token_with_good_claims_is_accepted(
    http: httpx.AsyncClient, stack: RunningStack, good_claims: dict[str, Any]
) -> None:
    assert (await orders_with(http, signed(stack, good_claims))).status_code == 200


BAD_CLAIMS = {
    "expired": {"exp": 1_700_000_000},
    "not valid yet": {"nbf": 4_000_000_000},
    "for another audience": {"aud": "another-api"},
    "of another issuer": {"iss": "somebody"},
    "without a subject": {"sub": None},
    "without an expiry": {"exp": None},
}


@pytest.mark.parametrize("changes", BAD_CLAIMS.values(), ids=BAD_CLAIMS.keys())
async def test_a_token_with_bad_claims_is_refused(
    http: httpx.AsyncClient, stack: RunningStack, good_claims: dict[str, Any], changes: dict[str, Any]
) -> None:
    claims = {name: value for name, value in {**good_claims, **changes}.items() if value is not None}

    answer = await orders_with(http, signed(stack, claims))

    assert_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_a_token_that_our_key_did_not_sign_is_refused(
    http: httpx.AsyncClient, stack: RunningStack, good_claims: dict[str, Any]
) -> None:
    public = json.loads((stack.home / "jwks.json").read_text())["keys"][0]["x"]
    tokens = [
        signed(stack, good_claims, Ed25519PrivateKey.generate()),
        signed(stack, good_claims, "", "none"),
        signed(stack, good_claims, public, "HS256"),
        signed(stack, good_claims)[:-4] + "AAAA",
        "a.b.c",
        "x" * 20_000,
    ]
    for token in tokens:
        assert_problem(await orders_with(http, token), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/orders"),
        ("POST", "/v1/orders"),
        ("GET", "/v1/orders/not-an-id"),
        ("GET", "/v1/catalogue"),
        ("DELETE", "/v1/orders"),
        ("GET", "/v1"),
        ("GET", "/v1/nothing"),
        ("POST", "/v1/admin/orders/x/approve"),
        ("GET", "/v1/orders/"),
        ("GET", "/%761/orders"),
    ],
)
async def test_without_a_token_all_of_v1_is_closed(http: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await http.request(method, path, content=b"[" * 300_000)

    assert_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("orders:read", "POST", "/v1/orders"),
        ("orders:read", "POST", f"/v1/orders/{UNKNOWN}/cancel"),
        ("orders:read", "POST", "/v1/orders/not-an-id/cancel"),
        ("operator", "POST", "/v1/orders"),
        ("jobs:write", "GET", "/v1/orders"),
        ("jobs:write", "GET", "/v1/orders/not-an-id"),
        ("orders:write", "POST", f"/v1/admin/orders/{UNKNOWN}/approve"),
        ("orders:write", "POST", "/v1/admin/orders/not-an-id/resolve"),
        ("orders:write", "PUT", "/v1/admin/catalogue/%00"),
    ],
)
async def test_the_scope_is_asked_for_before_path_and_body(door: Door, scope: str, method: str, path: str) -> None:
    caller = door.customer(scope)

    answer = await caller.http.request(method, path, headers=caller.headers, content=b"[" * 300_000)

    assert_problem(answer, 403, "forbidden")
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


async def test_any_token_may_see_the_catalogue_and_writing_implies_reading(door: Door) -> None:
    assert (await door.customer("jobs:write").get("/v1/catalogue")).status_code == 200
    assert (await door.customer("orders:write").get("/v1/orders")).status_code == 200
    assert (await door.customer("orders:read").get("/v1/orders")).status_code == 200


async def test_another_customers_order_does_not_exist(door: Door, operator: Caller) -> None:
    ada, bob = door.customer(), door.customer()
    placed = await ada.placed(sku=BIKE, quantity=1)

    for _ in range(2):  # known by its memo alone at first, then by our books
        assert_problem(await bob.get(f"/v1/orders/{placed['id']}"), 404, "not_found")
        assert_problem(await bob.post(f"/v1/orders/{placed['id']}/cancel"), 404, "not_found")
        await ada.until(placed["id"], "awaiting_approval")
    assert (await bob.get("/v1/orders")).json()["items"] == []
    assert (await operator.order(placed["id"]))["customer_id"] == ada.subject


async def test_an_operator_may_cancel_any_order(customer: Caller, operator: Caller) -> None:
    placed = await customer.placed(sku=BIKE, quantity=1)

    assert (await operator.post(f"/v1/orders/{placed['id']}/cancel")).json()["status"] == "cancelled"


async def test_a_key_of_ones_own_cannot_reach_anothers_order(door: Door) -> None:
    key = new_key()
    first = await door.customer().place(order_body(), key)

    second = await door.customer().place(order_body(quantity=3), key)

    assert second.status_code == 202
    assert second.json()["id"] != first.json()["id"]


async def test_every_answer_is_hardened(http: httpx.AsyncClient, customer: Caller) -> None:
    redirect = await http.get("/v1/orders/", headers=customer.headers, follow_redirects=False)
    answers = [
        redirect,
        await http.get("/v1/orders"),
        await http.get("/livez"),
        await http.get("/nothing"),
        await http.get("/openapi.json"),
        await customer.get("/v1/catalogue"),
    ]

    assert redirect.status_code == 307
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "unsafe-inline" not in answer.headers["content-security-policy"]
        assert answer.headers["x-request-id"]
