"""Mails to an account about its orders."""

from contracts.orders import OrderStatus
from tests.accounts import NewAccount
from tests.shop import Shop


async def test_an_account_is_told_that_its_order_is_accepted_and_on_its_way(shop: Shop) -> None:
    account = await NewAccount.signed_up(shop)
    order = await shop.place(customer_id=account.id, quantity=2)

    welcome, confirmation, notice = sorted(
        await account.until_mails("welcome", "order_confirmation", "shipping_notice", in_any_order=True),
        key=lambda mail: ["welcome", "order_confirmation", "shipping_notice"].index(mail["message_id"].split(".")[1]),
    )

    assert welcome["to"] == confirmation["to"] == notice["to"] == account.email
    assert confirmation["message_id"].startswith(f"<{order.id}.order_confirmation.1@")
    assert order.id in confirmation["subject"]
    assert "2 x T-shirt, 19.99 usd each" in confirmation["text"]
    assert "Total: 39.98 usd" in confirmation["text"]
    assert "39.98 usd" in confirmation["html"]
    assert order.id in notice["subject"]


async def test_each_parcel_of_an_order_has_a_notice_of_its_own_that_says_what_is_in_it(shop: Shop) -> None:
    account = await NewAccount.signed_up(shop)
    order = await shop.place(customer_id=account.id, on_hand={"wh_lyon": 2, "wh_oslo": 1}, quantity=3)

    mails = await account.until_mails(
        "welcome", "order_confirmation", "shipping_notice", "shipping_notice", in_any_order=True
    )

    notices = {mail["message_id"].partition("@")[0]: mail["text"] for mail in mails}
    assert "2 x T-shirt" in notices[f"<{order.id}.shipping_notice.1"]
    assert "1 x T-shirt" in notices[f"<{order.id}.shipping_notice.2"]


async def test_a_rejected_order_is_not_confirmed(shop: Shop) -> None:
    account = await NewAccount.signed_up(shop)
    rejected = await shop.place(customer_id=account.id, on_hand=0)
    assert (await rejected.settled()).status is OrderStatus.REJECTED
    order = await shop.place(customer_id=account.id)

    mails = await account.until_mails("welcome", "order_confirmation", "shipping_notice", in_any_order=True)

    assert not [mail for mail in mails if rejected.id in mail["message_id"]]
    assert [mail for mail in mails if order.id in mail["message_id"]]
