"""An API that stops does not wait for exports whose clients don't read."""

import asyncio
from datetime import UTC, datetime

import pytest

from tests.acceptance.client import POLL_S, WITHIN_S, Caller
from tests.integration.api.breaking import family
from tests.many_orders import many_orders
from tests.shop import open_shop
from tests.stack_session import RunningStack
from tests.watching import ApiLog, metric, raw_get

pytestmark = pytest.mark.outage

STOPPED_WITHIN_S = 5.0


async def test_a_stopping_api_breaks_off_an_export_that_nobody_reads(own_stack: RunningStack, caller: Caller) -> None:
    async with open_shop(own_stack) as shop, many_orders(shop, "many", 60_000, datetime.now(UTC)):
        log, api = ApiLog(own_stack), family(own_stack, "api")[0]
        reader, writer = await raw_get(caller, "/v1/orders.csv")
        assert await metric(own_stack, "followthrough_order_exports") == 1

        api.terminate()
        async with asyncio.timeout(STOPPED_WITHIN_S):
            while api.is_running() and api.status() != "zombie":
                await asyncio.sleep(POLL_S)

        async with asyncio.timeout(WITHIN_S):
            rest = await reader.read()
        writer.close()
        assert not rest.endswith(b"0\r\n\r\n")
        assert log.troubles() == []
