"""A browser that runs no scripts: it keeps cookies, and sends the forms it is shown."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from html import unescape
from typing import Self

import httpx

from tests.acceptance.client import ADA, Caller
from tests.stack_session import RunningStack

OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


def order_form(sku: str, quantity: int = 1) -> dict[str, str]:
    """What somebody types to have this sent to Ada."""
    return {**ADA, f"quantity.{sku}": str(quantity), "payment_method": "pm_card_visa"}


async def put_on_sale(operator: Caller, sku: str, *, on_hand: int) -> None:
    """Something at 10.00 USD that is called as its SKU is, in small letters."""
    price = {"amount": 1_000, "currency": "usd"}
    put = await operator.put(f"/v1/admin/catalogue/{sku}", {"name": sku.lower(), "price": price, "on_hand": on_hand})
    assert put.status_code == 200, put.text


def token_of(caller: Caller) -> str:
    return caller.headers["Authorization"].removeprefix("Bearer ")


async def orders_of(customer: Caller) -> list[str]:
    """What the API knows of the customer's orders, newest first."""
    return [order["id"] for order in (await customer.get("/v1/orders")).json()["items"]]


def order_in(answer: httpx.Response) -> str:
    """The order whose page one is sent to."""
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].rpartition("/")[2]


class Visitor:
    """Somebody with a browser of their own, signed in or not."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.page = ""

    @property
    def cookie(self) -> str:
        return self.http.cookies["session"]

    @property
    def csrf(self) -> str:
        return self.hidden("csrf")

    def hidden(self, name: str) -> str:
        """The value of a hidden field of the page that was opened last."""
        found = re.search(rf'name="{name}" value="([^"]*)"', self.page)
        assert found is not None, f"no field {name} in {self.page}"
        return unescape(found[1])

    async def open(self, path: str) -> httpx.Response:
        answer = await self.http.get(path)
        self.page = answer.text
        return answer

    async def send(
        self, path: str, fields: Mapping[str, str] | None = None, headers: Mapping[str, str] = OWN_PAGE
    ) -> httpx.Response:
        """Send a form of the page that was opened last, with these fields besides its secret, or in its place."""
        return await self.http.post(path, data={"csrf": self.csrf, **(fields or {})}, headers=headers)

    async def look_up(self, action: str, **typed: str) -> httpx.Response:
        """Send a form of the page that was opened last that changes nothing: all its fields, also the empty ones."""
        form = re.search(rf'<form[^>]* action="{action}">(.*?)</form>', self.page, re.DOTALL)
        assert form is not None, f"no form for {action} in {self.page}"
        fields = {}
        for field in re.findall(r"<input[^>]*>", form[1]):
            name, value = (re.search(rf' {attribute}="([^"]*)"', field) for attribute in ("name", "value"))
            assert name is not None, field
            fields[name[1]] = unescape(value[1]) if value else ""
        assert typed.keys() <= fields.keys()
        return await self.open(f"{action}?{httpx.QueryParams({**fields, **typed})}")

    async def sign_in(self, token: str, area: str = "/shop") -> Self:
        await self.open(f"{area}/sign-in")
        answer = await self.send(f"{area}/sign-in", {"token": token, "next": area})
        assert answer.status_code == 303, answer.text
        assert (await self.open(area)).status_code == 200
        return self

    async def order(self, sku: str, quantity: int = 1, fields: Mapping[str, str] | None = None) -> httpx.Response:
        """Open the catalogue, and order something there."""
        await self.open("/shop")
        return await self.send("/shop", {"key": self.hidden("key"), **order_form(sku, quantity), **(fields or {})})


@asynccontextmanager
async def visiting(stack: RunningStack) -> AsyncIterator[Visitor]:
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=30) as http:
        yield Visitor(http)
