"""The console's pictures in docs/images, of a stack where something is stuck: `make screenshots`."""

import asyncio
import io
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import httpx
from PIL import Image
from playwright.async_api import async_playwright

from contracts.orders import OrderStatus
from tests import jobs
from tests.acceptance.client import Door
from tests.browser.conftest import ARGUMENTS
from tests.browser.person import DESKTOP, PHONE, Person, looking
from tests.letters import poison
from tests.shop import Shop, ShopOrder, open_shop
from tests.stack_session import RunningStack, bring_up, throw_away

IMAGES = Path(__file__).parents[2] / "docs" / "images"
CUSTOMERS = ("ada", "grace", "edsger", "barbara", "alan")
FOR_LONG = 1_000
# Few enough for small files; flat pages look no worse.
COLOURS = 96
MAX_BYTES = 150_000


async def busy(shop: Shop, door: Door) -> ShopOrder:
    """Orders and jobs of every kind. The one that is worth a picture: it could not be undone."""
    owner = door.customer("jobs:write")
    await poison(owner)
    await jobs.until(owner, await jobs.echo(owner), "succeeded")
    done = [await shop.order(customer_id=CUSTOMERS[number % len(CUSTOMERS)]) for number in range(12)]
    declined = [await shop.order(customer_id="alan", payment_method="pm_card_visa_chargeDeclined") for _ in range(2)]
    waiting = await shop.order(customer_id="grace", amount=74_900)
    stuck = [await shop.order(customer_id=customer, retry_window_s=1) for customer in CUSTOMERS[:3]]
    for order in stuck:
        await order.meets("ship", "error_before", times=FOR_LONG)
    torn = await shop.order(customer_id="barbara", retry_window_s=1, amount=3_998)
    await torn.meets("ship", "decline")
    await torn.meets("refund", "error_before", times=FOR_LONG)
    orders = [*done, *declined, waiting, *stuck, torn]
    await asyncio.gather(*(order.start() for order in orders))
    await asyncio.gather(*(order.parked() for order in (*stuck, torn)))
    await asyncio.gather(*(order.settled() for order in (*done, *declined)))
    await waiting.until(OrderStatus.AWAITING_APPROVAL)
    return torn


async def take(person: Person, paths: Sequence[tuple[str, str]], screen: str) -> None:
    for name, path in paths:
        await person.open(path)
        await person.page.wait_for_load_state("domcontentloaded")
        for colours in ("light", "dark") if name != "overview" else ("light",):
            await person.page.emulate_media(color_scheme="dark" if colours == "dark" else "light")
            picture = Image.open(io.BytesIO(await person.page.screenshot()))
            target = IMAGES / f"console-{name}-{screen}-{colours}.png"
            picture.quantize(COLOURS).save(target, optimize=True)
            if target.stat().st_size > MAX_BYTES:
                raise SystemExit(f"{target} has {target.stat().st_size} bytes")
            print(target.relative_to(Path.cwd()))  # noqa: T201 - it is a command


async def take_all(stack: RunningStack) -> None:
    IMAGES.mkdir(exist_ok=True)
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("no Chromium: `make browser` says how to install it")
    async with open_shop(stack) as shop, httpx.AsyncClient(base_url=stack.api_url) as http:
        door = Door(http, stack)
        order = await busy(shop, door)
        paths = [
            ("overview", "/console"),
            ("needs-attention", "/console/attention"),
            ("order", f"/console/orders/{order.id}"),
        ]
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
            for screen, name in ((DESKTOP, "desktop"), (PHONE, "phone")):
                async with looking(browser, stack.api_url, screen) as person:
                    await person.sign_in(door.operator(), "/console")
                    await take(person, paths, name)
            await browser.close()


def main() -> None:
    home = Path(tempfile.mkdtemp(prefix="followthrough-screenshots-")) / "home"
    try:
        asyncio.run(take_all(RunningStack.of(home, bring_up(home))))
    finally:
        throw_away(home)
        shutil.rmtree(home.parent, ignore_errors=True)


if __name__ == "__main__":
    main()
