"""What tells a replay from the reuse of a key."""

from typing import Any

import pytest

from api.bodies import PlaceOrderBody

BODY: dict[str, Any] = {
    "lines": [{"sku": "TEE-BLACK-M", "quantity": 2}],
    "payment_method": "pm_card_visa",
    "ship_to": {"name": "Ada", "line1": "12 Long St", "city": "Oslo", "postal_code": "0150", "country": "NO"},
}


def hash_of(**changes: Any) -> str:
    return PlaceOrderBody.model_validate({**BODY, **changes}).request_hash


def test_spelling_does_not_matter() -> None:
    reordered = dict(reversed(BODY["ship_to"].items()))

    assert hash_of(ship_to=reordered) == hash_of()
    assert hash_of(ship_to={**BODY["ship_to"], "line2": None, "name": " Ada "}) == hash_of()


@pytest.mark.parametrize(
    "changes",
    [
        {"payment_method": "pm_card_mastercard"},
        {"lines": [{"sku": "TEE-BLACK-M", "quantity": 3}]},
        {"lines": [{"sku": "TEE-BLACK-L", "quantity": 2}]},
        {"ship_to": {**BODY["ship_to"], "line2": "2nd floor"}},
    ],
    ids=str,
)
def test_any_difference_does(changes: dict[str, Any]) -> None:
    assert hash_of(**changes) != hash_of()


def test_hashes_of_orders_placed_long_ago_stay_what_they_are() -> None:
    assert hash_of() == "e6e71bf22e4d35b91d68db5c3c79079a4322c260725dd1ab2c0b97455ecc90aa"
