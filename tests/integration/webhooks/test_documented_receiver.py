"""The receiver of docs/webhooks.md does what the page says."""

import asyncio
import re
import sys
from pathlib import Path

from tests.endpoints import ShopEndpoint
from tests.shop import POLL_S, WITHIN_S, Shop
from tests.webhooks import hook

PAGE = Path(__file__).parents[3] / "docs" / "webhooks.md"
MAX_LINES = 15


async def test_the_documented_receiver_verifies_what_we_send(shop: Shop, tmp_path: Path) -> None:
    [program] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    async with hook() as free:
        endpoint = await ShopEndpoint.at(free, shop)
    address, _, port = free.host.rpartition(":")
    script = tmp_path / "receiver.py"
    script.write_text(program.replace('("127.0.0.1", 8099)', f'("{address}", {port})'))

    receiver = await asyncio.create_subprocess_exec(
        *(sys.executable, script),
        env={"WEBHOOK_SECRET": endpoint.secret},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert receiver.stdout is not None
    try:
        await until_it_listens(address, int(port))
        delivery = await (await endpoint.send()).settled()
        async with asyncio.timeout(WITHIN_S):
            printed = (await receiver.stdout.readline()).decode().split()
    finally:
        receiver.kill()
        await receiver.wait()

    assert delivery.response_status == 204
    assert printed == [delivery.webhook_id, "webhook.test", endpoint.id]
    assert len([line for line in program.splitlines() if line.strip()]) <= MAX_LINES


async def until_it_listens(address: str, port: int) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                _, writer = await asyncio.open_connection(address, port)
            except ConnectionRefusedError:
                await asyncio.sleep(POLL_S)
            else:
                writer.close()
                await writer.wait_closed()
                return
