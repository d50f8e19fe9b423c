"""That receivers with the public Standard Webhooks library accept what we sign, and nothing else."""

import base64
from datetime import UTC, datetime, timedelta, timezone

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from providers.webhook_signing import new_secret, signed_headers

BODY = '{"type":"order.completed","data":{"id":"ord_1","note":"smørbrød"}}'.encode()


def sign(*secrets: str, at: datetime | None = None) -> dict[str, str]:
    return signed_headers(secrets, "whd_1", at or datetime.now(UTC), BODY)


def test_a_secret_is_random_and_as_long_as_the_standard_asks() -> None:
    first, second = new_secret(), new_secret()

    assert first != second
    assert first.startswith("whsec_")
    assert 24 <= len(base64.b64decode(first.removeprefix("whsec_"), validate=True)) <= 64


def test_the_public_library_accepts_our_signature() -> None:
    secret = new_secret()

    assert Webhook(secret).verify(BODY, sign(secret))["data"]["note"] == "smørbrød"


def test_each_of_two_secrets_verifies_while_they_are_rotated() -> None:
    old, new = new_secret(), new_secret()

    headers = sign(new, old)

    assert [signature[:3] for signature in headers["webhook-signature"].split(" ")] == ["v1,", "v1,"]
    Webhook(old).verify(BODY, headers)
    Webhook(new).verify(BODY, headers)


@pytest.mark.parametrize("changed", [{"webhook-id": "whd_2"}, {"webhook-timestamp": "1"}, {"webhook-signature": "v1,"}])
def test_the_signature_covers_id_and_time(changed: dict[str, str]) -> None:
    secret = new_secret()

    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, sign(secret) | changed)


def test_the_signature_covers_the_body_and_needs_the_secret() -> None:
    secret = new_secret()

    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" ", sign(secret))
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, sign(secret))


def test_the_time_is_the_same_in_every_zone() -> None:
    secret = new_secret()
    now = datetime.now(UTC)

    there = sign(secret, at=now.astimezone(timezone(timedelta(hours=9))))

    assert there == sign(secret, at=now)
    Webhook(secret).verify(BODY, there)


def test_nothing_is_sent_unsigned() -> None:
    with pytest.raises(ValueError, match="unsigned"):
        sign()


def test_the_standards_own_example() -> None:
    """From the reference libraries' tests: https://github.com/standard-webhooks/standard-webhooks."""
    headers = signed_headers(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1_614_265_330, UTC),
        b'{"test": 2432232314}',
    )

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"
