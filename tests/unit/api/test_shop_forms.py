"""What is typed into the shop's order form, and what is said of it."""

import pytest

from api.shop_forms import InvalidForm, order_in, quantities_in

FORM = {
    "quantity.TEE": "2",
    "quantity.MUG": "0",
    "quantity.BIKE": "",
    "name": " Ada ",
    "line1": "12 Long St",
    "line2": " ",
    "city": "Oslo",
    "postal_code": "0150",
    "country": "NO",
    "payment_method": "pm_card_visa",
    "key": "shop-1",
    "csrf": "c",
}


def wrong_with(**typed: str) -> dict[str, str]:
    changed = {name.replace("quantity_", "quantity."): text for name, text in typed.items()}
    with pytest.raises(InvalidForm) as raised:
        order_in({**FORM, **changed})
    return dict(raised.value.errors)


def test_a_filled_in_form_is_an_order_for_what_has_a_quantity() -> None:
    order = order_in(FORM)

    assert [(line.sku, line.quantity) for line in order.lines] == [("TEE", 2)]
    assert order.ship_to.name == "Ada"
    assert order.ship_to.line2 is None
    assert order.payment_method == "pm_card_visa"


@pytest.mark.parametrize("typed", ["-1", "1.5", "two", "1001", "9" * 400, "1e2", "٣٣٣٣"])
def test_what_is_no_quantity_is_said_beside_its_field(typed: str) -> None:
    assert wrong_with(quantity_TEE=typed) == {"quantity.TEE": "Give a whole number from 0 to 1,000."}


def test_every_field_left_out_is_named_once() -> None:
    with pytest.raises(InvalidForm) as raised:
        order_in({})

    assert raised.value.errors == {
        "lines": "Choose at least one item.",
        "payment_method": "Choose how to pay.",
        "name": "Fill this in.",
        "line1": "Fill this in.",
        "city": "Fill this in.",
        "postal_code": "Fill this in.",
        "country": "Choose a country.",
    }


def test_what_cannot_stand_in_an_address_is_said_in_words() -> None:
    assert wrong_with(city="O" * 201) == {"city": "Use at most 200 characters."}
    assert wrong_with(city="Os\x00lo") == {"city": "Must not contain control characters."}
    assert wrong_with(country="Norway") == {"country": "Choose a country."}
    assert wrong_with(payment_method="cash") == {"payment_method": "Choose how to pay."}


def test_a_form_that_was_tampered_with_is_not_understood_and_does_no_harm() -> None:
    assert set(wrong_with(**{"quantity_" + "X" * 65: "1"})) == {"lines"}
    assert set(wrong_with(**{f"quantity_{number}": "1" for number in range(101)})) == {"lines"}


def test_quantities_alone_can_be_read_before_the_rest_is_filled_in() -> None:
    assert quantities_in({"quantity.TEE": "3", "quantity.MUG": " ", "name": ""}) == {"TEE": 3}
    with pytest.raises(InvalidForm):
        quantities_in({"quantity.TEE": "x"})
