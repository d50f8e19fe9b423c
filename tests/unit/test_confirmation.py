"""The token of a confirmation link."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest

from contracts.confirmation import AUDIENCE, InvalidConfirmation, confirmation_token, confirmed_account_id
from contracts.ids import new_account_id

SECRET = "s" * 32
TOMORROW = datetime.now(UTC) + timedelta(days=1)


def test_a_token_names_its_account_and_is_safe_in_a_url() -> None:
    account_id = new_account_id()

    token = confirmation_token(account_id, TOMORROW, SECRET)

    assert confirmed_account_id(token, SECRET) == account_id
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_an_expired_token_says_so() -> None:
    token = confirmation_token(new_account_id(), TOMORROW - timedelta(days=2), SECRET)

    with pytest.raises(InvalidConfirmation, match="expired"):
        confirmed_account_id(token, SECRET)


@pytest.mark.parametrize(
    ("claims", "secret", "algorithm"),
    [
        ({}, "another secret of at least 32 bytes", "HS256"),
        ({}, "s" * 64, "HS512"),
        ({"aud": "followthrough-api"}, SECRET, "HS256"),
        ({"aud": None}, SECRET, "HS256"),
        ({"exp": None}, SECRET, "HS256"),
        ({"sub": None}, SECRET, "HS256"),
        ({"sub": "ord_3ZGVBHQ8S1KX5M7T2N4R6W8Y0C"}, SECRET, "HS256"),
    ],
)
def test_no_other_token_is_taken(claims: dict[str, str | None], secret: str, algorithm: str) -> None:
    whole = {"sub": new_account_id(), "aud": AUDIENCE, "exp": int(TOMORROW.timestamp()), **claims}
    kept = {name: value for name, value in whole.items() if value is not None}
    token = jwt.encode(kept, secret, algorithm=algorithm)

    with pytest.raises(InvalidConfirmation, match="not one"):
        confirmed_account_id(token, SECRET)
