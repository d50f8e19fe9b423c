"""The API is killed right after it answered 202: what it accepted completes, and what it left open is settled."""

import asyncio
import os
import signal
from pathlib import Path

import httpx

from stack.home import Home
from stack.tokens import sign_token
from tests.chaos.client import Customer
from tests.chaos.figures import Figures
from tests.chaos.shop import Shop
from tests.chaos.workers import Workers
from tests.stack_session import status

ORDERS = 40
ACCEPTED_BEFORE_THE_KILL = 20
TOKEN_TTL_S = 600


async def test_what_the_api_accepted_before_it_was_killed_completes(
    home: Path, shop: Shop, workers: Workers, figures: Figures
) -> None:
    figure = figures.begin(f"API, at its {ACCEPTED_BEFORE_THE_KILL}th 202", ORDERS)
    found = status(home)
    product = await shop.goods()
    token = sign_token(Home(home), "chaos-customer", ["orders:write"], TOKEN_TTL_S)
    keys = [f"{product.sku}/{number}" for number in range(ORDERS)]
    async with httpx.AsyncClient(base_url=found["api_url"]) as http:
        customer = Customer(http, token, product.sku)
        answers = [asyncio.create_task(customer.place(key)) for key in keys]
        for number, answer in enumerate(asyncio.as_completed(answers), start=1):
            assert await answer is not None
            if number == ACCEPTED_BEFORE_THE_KILL:
                os.kill(found["processes"]["api"]["pid"], signal.SIGKILL)
                break
        first = await asyncio.gather(*answers)

        # A customer who got no answer asks again; so do the others, and are told the same.
        ids = await asyncio.gather(*(customer.insist(key) for key in keys))
    assert [order_id for order_id, said in zip(ids, first, strict=True) if said not in (None, order_id)] == []
    orders = shop.orders(product.sku, ids)

    worker = await workers.start()

    assert set(await orders.outcomes()) == {"completed"}
    assert await orders.wrong() == []
    await figure.take(orders, worker)
    figure.verdict = f"all completed; {first.count(None)} were asked for again"
