"""The shop's order form: what was typed into it, and what is wrong with that in words for who typed it."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from api.bodies import PlaceOrderBody

QUANTITY = "quantity."
ADDRESS = ("name", "line1", "line2", "city", "postal_code", "country")
# Longer numbers are no quantities, and not worth reading.
MAX_DIGITS = 9


class InvalidForm(Exception):
    """What is wrong, by the names of the fields; `lines` stands for the goods as a whole."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(", ".join(errors))
        self.errors = errors


def order_in(form: Mapping[str, str]) -> PlaceOrderBody:
    """The order that a form asks for. Raises InvalidForm."""
    lines = _lines(form)
    address: dict[str, str | None] = {field: form.get(field, "") for field in ADDRESS}
    if not form.get("line2", "").strip():
        address["line2"] = None
    try:
        return PlaceOrderBody.model_validate(
            {"lines": lines, "payment_method": form.get("payment_method", ""), "ship_to": address}
        )
    except ValidationError as invalid:
        # Each field's first error, in the form's order.
        errors: dict[str, str] = {}
        for error in invalid.errors():
            field = _field(error["loc"], lines)
            errors.setdefault(field, _message(field, error))
        raise InvalidForm(errors) from None


def quantities_in(form: Mapping[str, str]) -> dict[str, int]:
    """The units asked for, by SKU. Raises InvalidForm for what is not a number of units."""
    asked = {line["sku"]: line["quantity"] for line in _lines(form)}
    wrong = {f"{QUANTITY}{sku}": _WHOLE_NUMBER for sku, quantity in asked.items() if not isinstance(quantity, int)}
    if wrong:
        raise InvalidForm(wrong)
    return asked


_WHOLE_NUMBER = "Give a whole number from 0 to 1,000."


def _lines(form: Mapping[str, str]) -> list[dict[str, Any]]:
    """A line for each field with anything but nothing in it."""
    asked = ((name.removeprefix(QUANTITY), _number(text)) for name, text in form.items() if name.startswith(QUANTITY))
    return [{"sku": sku, "quantity": quantity} for sku, quantity in asked if quantity not in (0, "")]


def _number(text: str) -> int | str:
    """A number, or what was typed instead of one."""
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) <= MAX_DIGITS else text


def _field(location: tuple[int | str, ...], lines: list[dict[str, Any]]) -> str:
    match location:
        case ("lines", int(number), "quantity"):
            return f"{QUANTITY}{lines[number]['sku']}"
        case ("ship_to", str(field), *_):
            return field
        case _:
            return str(location[0])


def _message(field: str, error: ErrorDetails) -> str:
    if field.startswith(QUANTITY):
        return _WHOLE_NUMBER
    match field, error["type"]:
        case "lines", "too_short":
            return "Choose at least one item."
        case "payment_method", _:
            return "Choose how to pay."
        case "country", _:
            return "Choose a country."
        case _, "string_too_short":
            return "Fill this in."
        case _, "string_too_long":
            return f"Use at most {error['ctx']['max_length']} characters."
    message = error["msg"].removeprefix("Value error, ")
    return f"{message[:1].upper()}{message[1:]}."
