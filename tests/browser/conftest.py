"""Chromium, looking at the session's stack. Without it these tests are skipped, or fail where that says too little."""

import os
import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from tests.acceptance.client import Caller
from tests.acceptance.conftest import customer, door, http, operator
from tests.browser.person import DESKTOP, PHONE, Person, looking
from tests.stack_session import RunningStack

__all__ = ["customer", "door", "http", "operator"]

ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage")
MISSING = (
    "NO CHROMIUM, SO THE SHOP'S PAGES ARE NOT TESTED IN A BROWSER: "
    "install it with `apt-get install --no-install-recommends chromium`, or run `make setup` as root on Debian"
)


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which("chromium")
    if found is None and os.environ.get("BROWSER_TESTS") == "required":
        pytest.fail(MISSING, pytrace=False)
    if found is None:
        pytest.skip(MISSING)
    return found


@pytest.fixture(scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield opened
        await opened.close()


@pytest.fixture
async def visitor(browser: Browser, stack: RunningStack) -> AsyncIterator[Person]:
    """Somebody at a desktop who has not signed in."""
    async with looking(browser, stack.api_url) as person:
        yield person


@pytest.fixture
async def ada(visitor: Person, customer: Caller) -> Person:
    """The customer, signed in at a desktop."""
    return await visitor.sign_in(customer)


@pytest.fixture(params=(PHONE, DESKTOP), ids=str)
async def anywhere(browser: Browser, stack: RunningStack, request: pytest.FixtureRequest) -> AsyncIterator[Person]:
    """Somebody at each kind of screen, who has not signed in."""
    async with looking(browser, stack.api_url, request.param) as person:
        yield person
