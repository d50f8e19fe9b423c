"""Workers are killed while orders of two parcels are under way: each parcel is paid once and sent once, or neither."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.customers import CustomerAction
from contracts.fulfilments import FulfilmentStatus
from contracts.ids import fulfilment_id
from contracts.orders import FINAL_STATUSES, OrderStatus
from tests.chaos.workers import Workers
from tests.shop import POLL_S, Shop, ShopOrder, open_shop
from tests.stack_session import RunningStack, status

ORDERS = 40
PRICE = 1_999
TWO = {"wh_lyon": 2, "wh_oslo": 1}
WITHIN_S = 60.0
# Of the requests that all these orders need; a worker dies after each share.
SHARES = (0.2, 0.5, 0.8)


@pytest.fixture
async def seller(home: Path) -> AsyncIterator[Shop]:
    async with open_shop(RunningStack.of(home, status(home))) as opened:
        yield opened


async def until_asked(seller: Shop, orders: list[ShopOrder], requests: float) -> None:
    """Wait until providers have answered so many requests of all these orders."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            found = await asyncio.gather(*(seller.ledger.requests(order.id) for order in orders))
            if sum(map(len, found)) >= requests:
                return
            await asyncio.sleep(POLL_S)


async def test_parcels_are_paid_once_and_sent_once_however_often_workers_die(seller: Shop, workers: Workers) -> None:
    """The carrier refuses the second parcel of every fourth order, and every fourth lacks a unit and is amended."""
    kinds = ("whole", "refused", "whole", "short")
    orders = [
        await seller.order(on_hand=TWO, quantity=4 if kind == "short" else 3, amount=PRICE, retry_window_s=60)
        for kind in kinds * (ORDERS // len(kinds))
    ]
    refused, short = orders[1::4], orders[3::4]
    for order in refused:
        await order.meets("ship", "decline", fulfilment=2)
    worker = await workers.start()
    await asyncio.gather(*(order.start() for order in orders))
    for order in short:
        await order.until(OrderStatus.AWAITING_CUSTOMER)
    amending = [asyncio.create_task(order.act(CustomerAction.AMEND)) for order in short]
    for share in SHARES:
        await until_asked(seller, orders, share * 4 * ORDERS)
        await worker.kill()
        worker = await workers.start()
    await asyncio.gather(*amending)

    statuses = await asyncio.gather(*(order.until(*FINAL_STATUSES) for order in orders))
    expected = {
        "whole": OrderStatus.COMPLETED,
        "short": OrderStatus.COMPLETED,
        "refused": OrderStatus.PARTIALLY_COMPLETED,
    }
    assert statuses == [expected[kind] for kind in kinds * (ORDERS // len(kinds))]
    for order in orders:
        evidence = await order.settled_evidence()
        assert evidence.view == evidence.agreed
        for fulfilment in evidence.booked.fulfilments:
            effects = evidence.effects.under(f"{fulfilment_id(order.id, fulfilment.number)}:")
            sent = fulfilment.status is FulfilmentStatus.SHIPPED
            assert effects.shipment_statuses == (["booked"] if sent else [])
            assert effects.money_kept == (fulfilment.amount.amount if sent else 0)
            assert len(effects.charges) == (1 if fulfilment.warehouse else 0)
        assert evidence.stock.reserved == 0
        assert evidence.stock.on_hand == (1 if order in refused else 0)
