"""The Temporal Web UI shows what is encrypted to operators who are signed in with us, and to nobody else."""

from urllib.parse import quote
from uuid import uuid4

from playwright.async_api import Browser, Page, expect

from tests.acceptance.client import ADA, Caller
from tests.browser.person import DESKTOP, looking
from tests.stack_session import RunningStack


async def test_who_is_signed_in_as_an_operator_can_read_an_order_in_the_web_ui(
    browser: Browser, stack: RunningStack, customer: Caller, operator: Caller
) -> None:
    street = f"{uuid4().hex[:8]} Long St"
    placed = await customer.placed(ship_to={**ADA, "line1": street})
    await customer.until(placed["id"], "completed")
    workflow = quote(f"order/{placed['id']}", safe="")
    shown = f"{stack.temporal_ui_url}/namespaces/{stack.temporal_namespace}/workflows/{workflow}"

    async with looking(browser, stack.api_url, DESKTOP) as olga:
        await olga.sign_in(operator)
        page = await olga.page.context.new_page()
        await page.goto(shown)
        await expect(page.get_by_text(street).first).to_be_visible()
    async with looking(browser, stack.api_url, DESKTOP) as nobody:
        page = await nobody.page.context.new_page()
        asked = await codec_answer(page, shown)
        await expect(page.get_by_text("Codec Server could not connect").first).to_be_attached()
        await expect(page.get_by_role("heading", name="Input")).to_be_visible()
        await expect(page.get_by_text(street)).to_have_count(0)
    assert asked == 401


async def codec_answer(page: Page, url: str) -> int:
    """What the codec server answers when the Web UI shows this."""
    async with page.expect_response(lambda response: "/codec/decode" in response.url) as heard:
        await page.goto(url)
    return (await heard.value).status
