"""The API starts and answers while everything behind it is away."""

import re

import httpx
import pytest

from contracts.ids import order_id_for
from tests.unit.api.conftest import Sign

BODY = {
    "lines": [{"sku": "TEE-BLACK-M", "quantity": 2}],
    "payment_method": "pm_card_visa",
    "ship_to": {"name": "Ada", "line1": "12 Long St", "city": "Oslo", "postal_code": "0150", "country": "NO"},
}
REPORT = "/v1/reports/rpt_00000000000000000000000000"
ORDER = f"/v1/orders/{order_id_for('ada', 'key')}"


async def test_it_is_alive_but_not_ready(http: httpx.AsyncClient) -> None:
    assert (await http.get("/livez")).status_code == 200
    ready = await http.get("/readyz")

    assert ready.status_code == 503
    assert ready.json()["status"] == "unavailable"
    assert set(ready.json()["checks"]) == {"postgres", "temporal", "worker"}
    assert "ok" not in ready.json()["checks"].values()


async def test_a_prober_leaves_out_what_it_can_do_without(http: httpx.AsyncClient) -> None:
    without_one = await http.get("/readyz", params={"exclude": "worker"})
    without_all = await http.get("/readyz?exclude=worker&exclude=temporal&exclude=postgres")
    unknown = await http.get("/readyz", params={"exclude": "mail"})

    assert (without_one.status_code, set(without_one.json()["checks"])) == (503, {"postgres", "temporal"})
    assert (without_all.status_code, without_all.json()) == (200, {"status": "ok", "checks": {}})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "invalid_request")
    assert unknown.json()["errors"][0]["field"].startswith("exclude")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/orders"),
        ("GET", "/v1/orders"),
        ("GET", ORDER),
        ("GET", f"{ORDER}/events"),
        ("POST", f"{ORDER}/cancel"),
        ("POST", f"/v1/admin{ORDER[3:]}/approve"),
        ("POST", f"/v1/admin{ORDER[3:]}/retry"),
        ("GET", "/v1/catalogue"),
        ("GET", "/v1/reports"),
        ("GET", f"{REPORT}/download"),
        ("GET", "/v1/admin/fraud"),
        ("GET", "/v1/admin/queues"),
        ("DELETE", "/v1/admin/fraud/limit"),
    ],
)
async def test_whatever_needs_them_says_when_to_try_again(
    http: httpx.AsyncClient, sign: Sign, method: str, path: str
) -> None:
    headers = {"Authorization": f"Bearer {sign('orders:write operator')}", "Idempotency-Key": "key"}

    answer = await http.request(method, path, headers=headers, json=BODY if path == "/v1/orders" else None)

    assert answer.status_code == 503
    assert answer.json()["code"] == "temporarily_unavailable"
    assert re.fullmatch(r"[1-9]\d*", answer.headers["retry-after"])


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/openapi.json", "/nothing", "/v1/orders", "/v1/orders/", "/livez/"]
)
async def test_every_answer_carries_its_headers(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path, headers={"X-Request-Id": "my-id.1"})

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "unsafe-inline" not in answer.headers["content-security-policy"]
    assert answer.headers["x-request-id"] == "my-id.1"


@pytest.mark.parametrize("asked", ["", "a" * 65, "a b", "{}", "é"])
async def test_an_odd_request_id_is_replaced(http: httpx.AsyncClient, asked: str) -> None:
    answer = await http.get("/nothing", headers=[(b"X-Request-Id", asked.encode())])

    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
