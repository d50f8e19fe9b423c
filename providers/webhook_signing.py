"""Signatures by which a receiver knows that a webhook is ours: Standard Webhooks 1.0."""

import base64
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

SECRET_PREFIX = "whsec_"  # noqa: S105 (what every secret starts with)
SECRET_BYTES = 32  # the standard asks for 24 to 64


def new_secret() -> str:
    """A signing secret as its owner gets it: "whsec_" and base64 of random bytes."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed_headers(signing_secrets: Sequence[str], webhook_id: str, timestamp: datetime, body: bytes) -> dict[str, str]:
    """The three headers of one attempt; `timestamp` is when it is made, `body` the UTF-8 text that is sent.

    One v1 signature per secret, so that a receiver may hold the old or the new one while they are rotated.
    Raises ValueError without a secret.
    """
    if not signing_secrets:
        raise ValueError("a webhook is never sent unsigned")
    # The library takes the digits of any time zone for UTC's.
    at = timestamp.astimezone(UTC)
    signatures = [Webhook(secret).sign(webhook_id, at, body.decode()) for secret in signing_secrets]
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
