"""Callers of the session's stack, and something for them to buy."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.acceptance.client import PRICES, UNITS, Caller, Door
from tests.acceptance.visitor import Visitor, token_of, visiting
from tests.stack_session import RunningStack


@pytest.fixture(scope="session")
async def http(stack: RunningStack) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=30, limits=limits) as client:
        yield client


@pytest.fixture(scope="session")
async def door(http: httpx.AsyncClient, stack: RunningStack) -> Door:
    opened = Door(http, stack)
    for sku, (amount, currency) in PRICES.items():
        price = {"amount": amount, "currency": currency}
        put = await opened.operator().put(
            f"/v1/admin/catalogue/{sku}", {"name": sku.lower(), "price": price, "on_hand": UNITS}
        )
        assert put.status_code == 200, put.text
    return opened


@pytest.fixture
def customer(door: Door) -> Caller:
    return door.customer()


@pytest.fixture
def operator(door: Door) -> Caller:
    return door.operator()


@pytest.fixture
async def visitor(stack: RunningStack) -> AsyncIterator[Visitor]:
    """Somebody with a browser without scripts, who has not signed in to the shop."""
    async with visiting(stack) as opened:
        yield opened


@pytest.fixture
async def ada(visitor: Visitor, customer: Caller) -> Visitor:
    """The customer, signed in to the shop."""
    return await visitor.sign_in(token_of(customer))
