"""The shop in a real browser: what customers see and do, on a phone and on a desktop."""

import re
from uuid import uuid4

from playwright.async_api import Browser, Route, expect

from stack.home import Home
from stack.tokens import sign_token
from tests.acceptance.client import BIKE, EURO_TEE, TEE, Caller
from tests.acceptance.visitor import orders_of, put_on_sale
from tests.browser.person import Person, looking
from tests.stack_session import RunningStack

SECONDS_OF_TOKEN = 5
CROSS_SITE = "http://elsewhere.example"


async def test_an_order_is_placed_and_watched_until_it_completes_without_a_reload(
    anywhere: Person, customer: Caller, operator: Caller
) -> None:
    person = await anywhere.sign_in(customer)
    order_id = await person.order({BIKE: 1})
    await expect(person.status).to_have_text("Waiting for approval")
    await person.mark()

    await operator.post(f"/v1/admin/orders/{order_id}/approve")

    await expect(person.status).to_have_text("Completed")
    order = await customer.until(order_id, "completed")
    await expect(person.page.locator(".timeline li")).to_have_count(len(order["timeline"]))
    await expect(person.page.get_by_role("status")).to_contain_text("Completed")
    await expect(person.page.get_by_role("button", name="Cancel the order")).to_have_count(0)
    assert await person.is_marked()
    assert await person.overflow() == 0


async def test_the_total_follows_what_is_typed(ada: Person) -> None:
    await ada.open("/shop")
    total = ada.page.locator("#total")

    await ada.fill_in({TEE: 2})
    await expect(total).to_have_text("Total 39.98 USD")
    await ada.fill_in({TEE: 2, EURO_TEE: 1})
    await expect(total).to_have_text("Total 17.99 EUR and 39.98 USD")
    await ada.fill_in({TEE: "x"})
    await expect(total).to_have_text("Nothing chosen yet")


async def test_an_order_that_waits_is_cancelled_without_a_reload(ada: Person, customer: Caller) -> None:
    order_id = await ada.order({BIKE: 1})
    await expect(ada.status).to_have_text("Waiting for approval")
    await ada.mark()
    ada.page.on("dialog", lambda dialog: dialog.accept())

    await ada.press("Cancel the order")

    await expect(ada.status).to_have_text("Cancelled")
    await expect(ada.page.get_by_role("button", name="Cancel the order")).to_have_count(0)
    assert await ada.is_marked()
    assert (await customer.order(order_id))["status"] == "cancelled"


async def test_a_cancel_that_is_not_confirmed_cancels_nothing(ada: Person, customer: Caller) -> None:
    order_id = await ada.order({BIKE: 1})
    ada.page.on("dialog", lambda dialog: dialog.dismiss())

    await ada.press("Cancel the order")

    assert (await customer.until(order_id, "awaiting_approval"))["failure"] is None
    await customer.post(f"/v1/orders/{order_id}/cancel")


async def test_an_item_that_is_not_available_is_asked_about_and_taken_off(
    anywhere: Person, customer: Caller, operator: Caller
) -> None:
    rare = f"AT-RARE-{uuid4().hex[:8]}"
    await put_on_sale(operator, rare, on_hand=0)
    person = await anywhere.sign_in(customer)
    await expect(person.page.locator("li").filter(has_text=rare)).to_contain_text("Sold out")
    order_id = await person.order({TEE: 2, rare: 1})
    question = person.page.get_by_role("region", name="What shall we do?")
    await expect(question).to_contain_text(rare.lower())
    await look_over(person)
    await person.mark()

    await person.press("Send what is available")

    await expect(person.status).to_have_text("Completed")
    await expect(question).to_have_count(0)
    assert await person.is_marked()
    await expect(person.page.get_by_role("heading", name="Taken off the order")).to_be_visible()
    order = await customer.until(order_id, "completed")
    assert [line["sku"] for line in order["removed_lines"]] == [rare]
    assert order["total"]["amount"] == 2 * 1_999


async def test_a_declined_card_is_told_with_its_reason(ada: Person) -> None:
    await ada.order(card="Visa test card, declined")

    await expect(ada.status).to_have_text("Rejected")
    await expect(ada.page.locator(".order-head")).to_contain_text("Payment declined")


async def test_bad_input_is_told_beside_its_fields_and_can_be_mended(anywhere: Person, customer: Caller) -> None:
    anywhere.expected_statuses = {422}
    person = await anywhere.sign_in(customer)
    await person.fill_in({TEE: "many"})
    await person.field("City").fill("")
    await person.press("Place the order")

    alert = person.page.get_by_role("alert")
    await expect(alert).to_be_focused()
    quantity, city = (
        person.page.get_by_label(f"Quantity of {TEE.lower()}", exact=True),
        person.field("City"),
    )
    await expect(quantity).to_have_value("many")
    await expect(quantity).to_have_accessible_description("Give a whole number from 0 to 1,000.")
    await expect(city).to_have_accessible_description("Fill this in.")
    await expect(person.field("Name")).to_have_value("Ada")
    assert await person.overflow() == 0
    assert await person.barriers() == []
    await alert.get_by_role("link", name="City", exact=True).click()
    await expect(city).to_be_focused()

    await quantity.fill("1")
    await city.fill("Oslo")
    await person.press("Place the order")

    await expect(person.status).to_have_text("Completed")


async def test_a_double_click_places_one_order(ada: Person, customer: Caller) -> None:
    await ada.open("/shop")
    await ada.fill_in()
    await ada.page.get_by_role("button", name="Place the order").dblclick()

    await expect(ada.status).to_have_text("Completed")
    assert len(await orders_of(customer)) == 1


async def test_a_form_on_another_site_does_nothing(ada: Person, customer: Caller, stack: RunningStack) -> None:
    waiting = await customer.placed(sku=BIKE, quantity=1)
    await customer.until(waiting["id"], "awaiting_approval")
    action = f"{stack.api_url}/shop/orders/{waiting['id']}/cancel"

    async def trap(route: Route) -> None:
        form = f'<form method="post" action="{action}"><input name="csrf" value="x"><button>Win</button></form>'
        await route.fulfill(content_type="text/html", body=f"<!doctype html><title>Elsewhere</title>{form}")

    await ada.page.route(f"{CROSS_SITE}/**", trap)
    await ada.open(f"{CROSS_SITE}/")
    async with ada.page.expect_response(action) as answered:
        await ada.press("Win")

    # Its cookie does not come along, so that not even a wrong secret is looked at.
    answer = await answered.value
    assert (answer.status, answer.headers["location"]) == (303, "/shop/sign-in")
    assert (await customer.order(waiting["id"]))["status"] == "awaiting_approval"
    await customer.post(f"/v1/orders/{waiting['id']}/cancel")


async def test_when_the_session_ends_the_page_asks_to_sign_in_and_leads_back(
    visitor: Person, customer: Caller, stack: RunningStack
) -> None:
    waiting = await customer.placed(sku=BIKE, quantity=1)
    order_page = f"/shop/orders/{waiting['id']}"
    await visitor.open(order_page)
    await visitor.paste(sign_token(Home(stack.home), customer.subject, ["orders:write"], SECONDS_OF_TOKEN))
    await expect(visitor.heading).to_contain_text(waiting["id"])

    await expect(visitor.heading).to_have_text("Sign in")
    await visitor.paste(sign_token(Home(stack.home), customer.subject, ["orders:write"], 600))

    await expect(visitor.heading).to_contain_text(waiting["id"])
    assert visitor.page.url.endswith(order_page)
    await customer.post(f"/v1/orders/{waiting['id']}/cancel")


async def test_no_page_has_barriers_or_is_wider_than_its_screen(
    anywhere: Person, customer: Caller, operator: Caller
) -> None:
    anywhere.expected_statuses = {404, 422}
    # As long as a name may be, and nowhere to break it.
    endless = f"AT-{'W' * 61}"
    await put_on_sale(operator, endless, on_hand=1_000)
    await anywhere.open("/shop/sign-in")
    await look_over(anywhere)
    await anywhere.field("Access token").fill("no token")
    await anywhere.press("Sign in")
    await expect(anywhere.field("Access token")).to_have_accessible_description(
        re.compile("^The token is not accepted")
    )
    await look_over(anywhere)
    person = await anywhere.sign_in(customer)
    await look_over(person)
    await person.open("/shop/orders")
    await look_over(person)
    waiting = await person.order({BIKE: 1, endless: 3})
    await expect(person.status).to_have_text("Waiting for approval")
    await look_over(person)
    await operator.post(f"/v1/admin/orders/{waiting}/approve")
    await expect(person.status).to_have_text("Completed")
    await look_over(person)
    await person.open("/shop/orders")
    await look_over(person)
    await person.open("/shop/orders/ord_00000000000000000000000000")
    await look_over(person)


async def look_over(person: Person) -> None:
    assert await person.barriers() == []
    assert await person.overflow() == 0, person.page.url


async def test_a_keyboard_is_enough(ada: Person) -> None:
    keyboard = ada.page.keyboard
    await ada.open("/shop")
    await keyboard.press("Tab")
    await expect(ada.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await keyboard.press("Enter")
    await ada.fill_in()
    place = ada.page.get_by_role("button", name="Place the order")
    await ada.field("Card").focus()
    await keyboard.press("Tab")
    await expect(place).to_be_focused()
    # A mark around it, and not its colour alone, says where one is.
    assert await place.evaluate("(button) => getComputedStyle(button).outlineStyle") == "solid"
    await keyboard.press("Enter")

    await expect(ada.status).to_have_text("Completed")


async def test_it_works_without_scripts(browser: Browser, stack: RunningStack, customer: Caller) -> None:
    async with looking(browser, stack.api_url, scripts=False) as person:
        await person.sign_in(customer)
        order_id = await person.order({BIKE: 1})
        await customer.until(order_id, "awaiting_approval")
        await person.page.reload()
        await expect(person.status).to_have_text("Waiting for approval")
        await person.press("Cancel the order")

        await expect(person.status).to_have_text("Cancelled")
        await person.press("Sign out")
        await expect(person.heading).to_have_text("Sign in")
