"""What follows from a change of the catalogue: webhooks and a mail, which are not lost, and a cache, which may be."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, select, update

from api.catalogue_cache import CatalogueCache
from contracts.catalogue import CatalogueProduct
from contracts.job_types.catalogue import TELL_MERCHANDISER
from contracts.money import Money
from database.catalogue import Catalogue, StockIsReserved
from database.tables import jobs, stock
from tests.acceptance.client import Caller, Door, assert_problem, new_key
from tests.endpoints import ShopEndpoint
from tests.jobs import listed
from tests.letters import dead
from tests.shop import POLL_S, WITHIN_S, Shop
from tests.stack_session import MERCHANDISER, RunningStack
from tests.webhooks import hook


def a_sku() -> str:
    return f"CHANGES-{uuid4().hex[:12].upper()}"


async def put(operator: Caller, sku: str, name: str = "Lamp", amount: int = 4_200) -> httpx.Response:
    body = {"name": name, "price": {"amount": amount, "currency": "usd"}, "on_hand": 3}
    return await operator.put(f"/v1/admin/catalogue/{sku}", body)


async def mails_about(shop: Shop, sku: str, count: int) -> list[dict[str, Any]]:
    """Those that the merchandiser has got about this item, once there are so many."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            found = [mail for mail in await shop.ledger.mails(MERCHANDISER) if sku in mail["subject"]]
            if len(found) >= count:
                return found
            await asyncio.sleep(POLL_S)


async def test_a_change_is_told_to_the_systems_webhooks_and_mailed_to_the_merchandiser(
    shop: Shop, operator: Caller
) -> None:
    sku = a_sku()
    async with hook() as receiver, hook() as others:
        system = await ShopEndpoint.at(receiver, shop, "catalogue.*", of_system=True)
        customers = await ShopEndpoint.at(others, shop, "*")
        for name in ("Lamp", "Lamp, green"):
            assert (await put(operator, sku, name)).status_code == 200

        mails = await mails_about(shop, sku, 2)
        messages = await receiver.until(lambda got: sum(sku in str(one.body) for one in got) >= 2)
        await system.delete()
        await (await customers.send()).settled()
        assert [message.verified(customers.secret)["type"] for message in others.messages] == ["webhook.test"]

    payloads = [message.verified(system.secret) for message in messages]
    told = sorted((one["type"], one["data"]["status"]) for one in payloads if one["data"]["id"] == sku)
    assert told == [("catalogue.item_created", "created"), ("catalogue.item_updated", "updated")]
    assert sorted(mail["subject"] for mail in mails) == [f"{sku} was created", f"{sku} was updated"]
    # The jobs are the operator's, and their ids those of the mails.
    sent = [job for job in await listed(operator, type=TELL_MERCHANDISER.name, limit=100) if _is_of(job, mails)]
    assert len(sent) == 2


def _is_of(job: dict[str, Any], mails: list[dict[str, Any]]) -> bool:
    return any(job["id"] in mail["message_id"] for mail in mails)


async def test_a_mail_waits_for_its_server_and_one_that_is_refused_is_a_dead_letter(
    shop: Shop, operator: Caller
) -> None:
    late, refused = a_sku(), a_sku()
    await shop.ledger.misbehave(MERCHANDISER, "send", "unavailable", times=1)
    await put(operator, late)
    assert len(await mails_about(shop, late, 1)) == 1

    await shop.ledger.misbehave(MERCHANDISER, "send", "decline", times=1)
    await put(operator, refused)
    async with asyncio.timeout(WITHIN_S):
        while not (await dead(operator, kind="job", reason="mail_bounced"))["total"]:
            await asyncio.sleep(POLL_S)
    assert [mail for mail in await shop.ledger.mails(MERCHANDISER) if refused in mail["subject"]] == []


async def test_a_change_that_is_refused_is_told_to_nobody(shop: Shop) -> None:
    product = CatalogueProduct(sku=a_sku(), name="Lamp", price=Money(amount=100))
    await shop.catalogue.put(product, 0)
    before = await _jobs(shop)

    async with shop.engine.begin() as connection:
        await connection.execute(update(stock).where(stock.c.sku == product.sku).values(on_hand=2, reserved=2))
    before_it = await shop.catalogue.stocked()
    with pytest.raises(StockIsReserved):
        await shop.catalogue.put(product, 1, mailed_for="olga")

    assert await _jobs(shop) == before
    assert (await shop.catalogue.stocked()).version == before_it.version


async def _jobs(shop: Shop) -> int:
    async with shop.engine.connect() as connection:
        return await connection.scalar(select(func.count()).where(jobs.c.type == TELL_MERCHANDISER.name)) or 0


async def test_nobody_is_mailed_when_nobody_is_configured(shop: Shop) -> None:
    before = await _jobs(shop)

    await shop.catalogue.put(CatalogueProduct(sku=a_sku(), name="Lamp", price=Money(amount=100)), 1)

    assert await _jobs(shop) == before


async def test_a_change_is_seen_at_once_by_every_process(shop: Shop, operator: Caller, stack: RunningStack) -> None:
    """Another process is one with a cache of its own, which hears of no change."""
    sku, other = a_sku(), CatalogueCache(Catalogue(shop.engine))
    await put(operator, sku, "Lamp", 100)
    assert await _of(other, sku) == ("Lamp", 100, 3)

    await put(operator, sku, "Lamp, green", 200)

    assert await _of(other, sku) == ("Lamp, green", 200, 3)
    shown = (await operator.get("/v1/catalogue")).json()["items"]
    assert [(item["name"], item["price"]["amount"]) for item in shown if item["sku"] == sku] == [("Lamp, green", 200)]


async def test_what_is_remembered_shows_the_units_of_now(shop: Shop) -> None:
    product = CatalogueProduct(sku=a_sku(), name="Lamp", price=Money(amount=100))
    await shop.catalogue.put(product, 3)
    cache = CatalogueCache(Catalogue(shop.engine))
    await cache.warm()

    async with shop.engine.begin() as connection:
        await connection.execute(update(stock).where(stock.c.sku == product.sku).values(reserved=2))

    assert await _of(cache, product.sku) == ("Lamp", 100, 1)


async def _of(cache: CatalogueCache, sku: str) -> tuple[str, int, int]:
    [item] = [item for item in await cache.items() if item.sku == sku]
    return item.name, item.price.amount, item.available


async def test_the_mail_is_not_a_job_that_customers_may_ask_for(door: Door) -> None:
    owner = door.customer("jobs:write")
    item = {"sku": "X", "name": "x", "price": {"amount": 1, "currency": "usd"}}
    body = {"type": TELL_MERCHANDISER.name, "arguments": {"change": "created", "product": item}}

    answer = await owner.post("/v1/jobs", {"Idempotency-Key": new_key()}, json=body)

    problem = assert_problem(answer, 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == ["type"]
    types = (await owner.get("/v1/job-types")).json()["items"]
    assert TELL_MERCHANDISER.name not in [one["name"] for one in types]
