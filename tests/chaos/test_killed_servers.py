"""Temporal and Postgres are killed under a worker that has orders in flight: all end correctly once they are back."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from tests.chaos.figures import Figures
from tests.chaos.shop import Shop
from tests.chaos.workers import Workers
from tests.stack_session import status

SERVERS = ("postgres", "temporal")
ORDERS = 30
BACK_WITHIN_S = 60.0
# Long enough for the kill to meet every order with its shipment under way, and short enough for the local try.
SHIPPING_TAKES_S = 1.0


@pytest.mark.parametrize("server", SERVERS)
async def test_orders_in_flight_survive_the_death_of_a_server(
    home: Path, shop: Shop, workers: Workers, figures: Figures, server: str
) -> None:
    figure = figures.begin(server, ORDERS)
    victim = status(home)["processes"][server]["pid"]
    await shop.providers_fail("carrier", "ship", "slow", delay_s=SHIPPING_TAKES_S)
    orders = await shop.place(ORDERS)
    worker = await workers.start()
    await orders.begin_to_ship(ORDERS // 2)

    os.kill(victim, signal.SIGKILL)
    killed_at = time.time()
    await is_back(home, server, victim)

    assert set(await orders.outcomes()) == {"completed"}
    assert await orders.wrong() == []
    await figure.take(orders, worker)
    ends = await orders.ends()
    in_flight = sum(end > killed_at for end in ends)
    assert in_flight >= ORDERS // 2
    figure.verdict = f"{in_flight} in flight; all completed {max(ends) - killed_at:.1f} s after the kill"


async def is_back(home: Path, server: str, killed: int) -> None:
    """Wait until the stack has replaced this process and its successor works."""
    async with asyncio.timeout(BACK_WITHIN_S):
        while True:
            found = (await asyncio.to_thread(status, home))["processes"]
            if found[server]["pid"] != killed and all(found[name]["healthy"] for name in SERVERS):
                return
