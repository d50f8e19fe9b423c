"""The console in a real browser: what operators see and do, on a phone and on a desktop."""

import asyncio
from uuid import uuid4

import pytest
from playwright.async_api import Browser, expect

from contracts.orders import OrderStatus
from tests.acceptance.client import Caller, Door
from tests.browser.person import DESKTOP, PHONE, Colours, Person, Screen, looking
from tests.jobs import echo
from tests.letters import audited, poison
from tests.shop import Shop, ShopOrder
from tests.stack_session import RunningStack

FOR_LONG = 1_000
WHY = "the carrier is back"


async def parked(shop: Shop) -> ShopOrder:
    """An order that the carrier did not take, of a customer whose name does not break anywhere."""
    order = await shop.order(retry_window_s=1, customer_id=f"customer-{'w' * 80}-{uuid4().hex}")
    await order.meets("ship", "error_before", times=FOR_LONG)
    await order.start()
    await order.parked()
    return order


@pytest.fixture
async def olga(visitor: Person, operator: Caller) -> Person:
    """The operator, signed in at a desktop."""
    return await visitor.sign_in(operator, "/console")


async def test_an_order_is_mended_with_a_keyboard_and_its_page_follows(
    olga: Person, operator: Caller, shop: Shop
) -> None:
    order = await parked(shop)
    await shop.ledger.behave()
    keyboard = olga.page.keyboard
    await olga.open("/console/attention")
    await keyboard.press("Tab")
    await expect(olga.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await keyboard.press("Enter")
    await expect(olga.page.locator("main")).to_be_focused()
    retry = olga.page.locator(f"#retry-{order.id}")
    await retry.focus()
    assert await retry.evaluate("(link) => getComputedStyle(link).outlineStyle") == "solid"
    await keyboard.press("Enter")
    await expect(olga.field("Why")).to_be_focused()
    await keyboard.type(WHY)
    await keyboard.press("Tab")
    await expect(olga.page.get_by_role("button", name="Retry the order")).to_be_focused()
    await keyboard.press("Enter")

    await expect(olga.status).to_have_text("Completed")
    await expect(olga.page.locator("#order")).to_contain_text(f"“{WHY}”")
    [entry] = await audited(operator, subject=order.id)
    assert (entry["action"], entry["note"]) == ("order.retry", WHY)


async def test_an_order_s_page_changes_by_itself_and_keeps_the_focus(olga: Person, shop: Shop) -> None:
    order = await shop.place(amount=74_900)
    await order.until(OrderStatus.AWAITING_APPROVAL)
    await order.meets("ship", "slow", delay_s=1)
    await olga.open(f"/console/orders/{order.id}")
    await expect(olga.status).to_have_text("Awaiting approval")
    await olga.mark()
    cancel = olga.page.locator("#do-cancel")
    await cancel.focus()

    await order.decide(approved=True)

    await expect(olga.page.locator(".timeline")).to_contain_text("Charged")
    await expect(olga.status).to_have_text("Completed")
    await expect(olga.page.get_by_role("status")).to_contain_text("Completed")
    assert await olga.is_marked()


async def test_the_list_of_what_needs_attention_changes_by_itself_and_keeps_the_focus(olga: Person, door: Door) -> None:
    owner = door.customer("jobs:write")
    first = await poison(owner)
    await olga.open("/console/attention")
    await olga.mark()
    discard = olga.page.locator(f"#discard-{first['id']}")
    await discard.focus()

    second = await poison(owner)

    await expect(olga.page.locator(f"#letter-{second['id']}")).to_be_visible()
    await expect(discard).to_be_focused()
    await expect(olga.page.locator("#news")).to_contain_text("The list has changed")
    assert await olga.is_marked()


@pytest.mark.parametrize(("screen", "colours"), [(PHONE, "light"), (DESKTOP, "dark")], ids=["phone", "desktop"])
async def test_no_page_of_the_console_has_barriers_or_is_wider_than_its_screen(
    browser: Browser, stack: RunningStack, operator: Caller, door: Door, shop: Shop, screen: Screen, colours: Colours
) -> None:
    order, owner, keeper = await parked(shop), door.customer("jobs:write"), door.customer("webhooks:write")
    dead, well = await poison(owner), await echo(owner, message="W" * 200)
    body = {"url": "https://example.com/" + "w" * 150, "event_types": ["*"]}
    endpoint = (await keeper.post("/v1/webhook-endpoints", json=body)).json()
    delivery = (await keeper.post(f"{endpoint['links']['self']}/test")).json()
    async with looking(browser, stack.api_url, screen) as person:
        person.expected_statuses = {404, 422}
        await person.open("/console/sign-in")
        await look_over(person, colours)
        await person.sign_in(operator, "/console")
        for path in (
            "",
            "/attention",
            "/orders",
            f"/orders/{order.id}",
            f"/orders/{order.id}/resolve",
            "/jobs",
            f"/jobs/{dead['id']}",
            f"/jobs/{well['id']}",
            "/all/resolve?kind=order",
            "/webhooks",
            f"/webhooks/{endpoint['id']}",
            f"/deliveries/{delivery['id']}",
            "/schedules",
            "/schedules/stuck-orders",
            "/audit",
            "/search?q=nothing",
            "/orders/ord_00000000000000000000000000",
        ):
            await person.open(f"/console{path}")
            await look_over(person, colours)
        await person.open(f"/console/orders/{order.id}/retry")
        await person.press("Retry the order")
        await expect(person.field("Why")).to_have_accessible_description("Say why: it is kept in the audit log.")
        await look_over(person, colours)
    await shop.ledger.behave()
    await asyncio.gather(order.retry(), keeper.delete(endpoint["links"]["self"]))


async def look_over(person: Person, colours: Colours) -> None:
    assert await person.barriers(colours) == [], person.page.url
    assert await person.overflow() == 0, person.page.url


async def test_the_console_works_without_scripts(
    browser: Browser, stack: RunningStack, operator: Caller, shop: Shop
) -> None:
    order = await parked(shop)
    await shop.ledger.behave()
    async with looking(browser, stack.api_url, scripts=False) as person:
        await person.sign_in(operator, "/console")
        await person.field("Search by id").fill(order.id)
        await person.press("Find")
        await expect(person.status).to_have_text("Needs attention")
        await person.page.get_by_role("link", name="Retry the order").click()
        await person.field("Why").fill(WHY)
        await person.press("Retry the order")

        assert (await order.settled()).status is OrderStatus.COMPLETED
        await person.page.reload()
        await expect(person.status).to_have_text("Completed")
        await person.press("Sign out")
        await expect(person.heading).to_have_text("Sign in as an operator")
