"""The API as its callers use it: HTTP and a token, nothing else."""

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx

from tests.stack_session import RunningStack

WITHIN_S = 30.0
POLL_S = 0.05
FINAL = {"completed", "partially_completed", "cancelled", "rejected"}
TEE, BIKE, EURO_TEE, GOLD = "AT-TEE", "AT-BIKE", "AT-TEE-EURO", "AT-GOLD"
PRICES = {TEE: (1_999, "usd"), BIKE: (74_900, "usd"), EURO_TEE: (1_799, "eur"), GOLD: (99_999_999, "usd")}
UNITS = 1_000_000
ADA = {"name": "Ada", "line1": "12 Long St", "city": "Oslo", "postal_code": "0150", "country": "NO"}

_numbers = itertools.count(1)


def new_key() -> str:
    """An idempotency key that no other test uses."""
    return f"key-{uuid4().hex}"


def order_body(sku: str = TEE, quantity: int = 2, **changes: Any) -> dict[str, Any]:
    """What it takes to order something."""
    lines = [{"sku": sku, "quantity": quantity}]
    return {"lines": lines, "payment_method": "pm_card_visa", "ship_to": ADA, **changes}


class Caller:
    """Somebody with a token."""

    def __init__(self, http: httpx.AsyncClient, stack: RunningStack, subject: str, *scopes: str) -> None:
        self.http = http
        self.subject = subject
        self.headers = {"Authorization": f"Bearer {stack.token(subject, *scopes)}"}

    async def get(self, path: str, **parameters: Any) -> httpx.Response:
        return await self.http.get(path, params=parameters or None, headers=self.headers)

    async def post(self, path: str, headers: Mapping[str, str] | None = None, **sent: Any) -> httpx.Response:
        return await self.http.post(path, headers={**self.headers, **(headers or {})}, **sent)

    async def put(self, path: str, body: Any) -> httpx.Response:
        return await self.http.put(path, headers=self.headers, json=body)

    async def patch(self, path: str, body: Any) -> httpx.Response:
        return await self.http.patch(path, headers=self.headers, json=body)

    async def delete(self, path: str) -> httpx.Response:
        return await self.http.delete(path, headers=self.headers)

    async def place(self, body: Any = None, key: str | None = None) -> httpx.Response:
        return await self.post("/v1/orders", {"Idempotency-Key": key or new_key()}, json=body or order_body())

    async def placed(self, **order: Any) -> dict[str, Any]:
        """Place an order that is accepted."""
        answer = await self.place(order_body(**order))
        assert answer.status_code == 202, answer.text
        accepted: dict[str, Any] = answer.json()
        return accepted

    async def order(self, order_id: str) -> dict[str, Any]:
        answer = await self.get(f"/v1/orders/{order_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def until(self, order_id: str, *statuses: str) -> dict[str, Any]:
        """Wait until the order has one of these statuses."""
        async with asyncio.timeout(WITHIN_S):
            while (order := await self.order(order_id))["status"] not in statuses:
                assert order["status"] not in FINAL, f"{order_id} ended as {order['status']}"
                await asyncio.sleep(POLL_S)
        return order


class Door:
    """Lets new callers in."""

    def __init__(self, http: httpx.AsyncClient, stack: RunningStack) -> None:
        self.http = http
        self.stack = stack

    def customer(self, *scopes: str) -> Caller:
        """A customer who has no orders yet."""
        return Caller(
            self.http, self.stack, f"customer-{next(_numbers)}-{uuid4().hex[:6]}", *(scopes or ("orders:write",))
        )

    def operator(self) -> Caller:
        return Caller(self.http, self.stack, "olga", "operator")


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Whether this is an RFC 9457 problem of that kind; its body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == code, problem
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["type"]
    assert problem["title"]
    assert problem["detail"]
    assert "Traceback" not in answer.text
    return problem
