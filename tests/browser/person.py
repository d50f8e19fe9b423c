"""Somebody who looks at the shop in Chromium, and whatever the browser itself has to complain about."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, NamedTuple, Self

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Browser, Locator, Page, expect

from tests.acceptance.client import ADA, TEE, Caller
from tests.acceptance.visitor import token_of

WITHIN_MS = 20_000
Colours = Literal["light", "dark"]
COLOURS: tuple[Colours, ...] = ("light", "dark")
GRAVE = {"serious", "critical"}
# What a policy forbids is told to the page that tried it, too.
REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI}`));
"""
REFUSED = re.compile(r"Failed to load resource: the server responded with a status of (\d{3})")

expect.set_options(timeout=WITHIN_MS)


class Screen(NamedTuple):
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


PHONE, DESKTOP = Screen(360, 800), Screen(1_280, 900)


class Person:
    """Sees the page that is open, and acts on it by what is written there."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.expected_statuses: set[int] = set()
        page.on("console", lambda message: self._hear(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._see(request.url))

    def _hear(self, text: str) -> None:
        refused = REFUSED.match(text)
        if refused is None or int(refused[1]) not in self.expected_statuses:
            self.complaints.append(text)

    def _see(self, url: str) -> None:
        # How every JWT begins, be it a token or a session.
        if "eyJ" in url:
            self.complaints.append(f"a token in {url}")

    @property
    def status(self) -> Locator:
        """The order's status, where its page says it."""
        return self.page.locator(".order-head .badge")

    @property
    def heading(self) -> Locator:
        return self.page.get_by_role("heading", level=1)

    def field(self, label: str) -> Locator:
        return self.page.get_by_label(label, exact=True)

    async def open(self, path: str) -> None:
        await self.page.goto(path)

    async def press(self, button: str) -> None:
        await self.page.get_by_role("button", name=button).click()

    async def sign_in(self, caller: Caller, area: str = "/shop") -> Self:
        await self.open(f"{area}/sign-in")
        return await self.paste(token_of(caller))

    async def paste(self, token: str) -> Self:
        """Sign in on the page that asks for it."""
        await self.field("Access token").fill(token)
        await self.press("Sign in")
        await self.page.wait_for_url(lambda url: "/sign-in" not in url)
        return self

    async def fill_in(
        self, quantities: Mapping[str, int | str] | None = None, *, card: str = "Visa test card, accepted"
    ) -> None:
        """Fill the order form of the catalogue in; one T-shirt unless told."""
        for sku, quantity in (quantities or {TEE: 1}).items():
            await self.field(f"Quantity of {sku.lower()}").fill(str(quantity))
        for label, text in {
            "Name": ADA["name"],
            "Street and number": ADA["line1"],
            "Postal code": ADA["postal_code"],
            "City": ADA["city"],
        }.items():
            await self.field(label).fill(text)
        await self.field("Country").select_option(ADA["country"])
        await self.field("Card").select_option(label=card)

    async def order(self, quantities: Mapping[str, int | str] | None = None, **how: Any) -> str:
        """Place an order from the catalogue. Its id, once its page is there."""
        await self.open("/shop")
        await self.fill_in(quantities, **how)
        await self.press("Place the order")
        await self.page.wait_for_url("**/shop/orders/ord_*")
        return self.page.url.rpartition("/")[2]

    async def mark(self) -> None:
        """Leave a mark that is lost when the page is loaded again."""
        await self.page.evaluate("window.mark = true")

    async def is_marked(self) -> bool:
        return bool(await self.page.evaluate("window.mark === true"))

    async def overflow(self) -> int:
        """By how many pixels the page is wider than the screen."""
        width: int = await self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return max(0, width)

    async def barriers(self, *colour_schemes: Colours) -> list[str]:
        """What axe-core finds grave about this page, in these colours, or by day and by night."""
        found = []
        for colours in colour_schemes or COLOURS:
            await self.page.emulate_media(color_scheme=colours)
            found += (await Axe().run(self.page)).response["violations"]
        return [
            f"{one['id']}: {node['target']} {node['failureSummary']}"
            for one in found
            if one["impact"] in GRAVE
            for node in one["nodes"]
        ]


@asynccontextmanager
async def looking(
    browser: Browser, api_url: str, screen: Screen = DESKTOP, *, scripts: bool = True
) -> AsyncIterator[Person]:
    """Somebody with a fresh browser. Fails if the browser has complained of anything by the end."""
    context = await browser.new_context(
        base_url=api_url,
        viewport={"width": screen.width, "height": screen.height},
        java_script_enabled=scripts,
    )
    context.set_default_timeout(WITHIN_MS)
    await context.add_init_script(REPORT_VIOLATIONS)
    try:
        person = Person(await context.new_page())
        yield person
        assert not person.complaints, person.complaints
    finally:
        await context.close()
