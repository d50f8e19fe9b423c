"""How we know that a webhook is the provider's: checked over the raw body, before anything of it is parsed."""

import hashlib
import hmac
import re
import time
from collections.abc import Mapping

from standardwebhooks import Webhook, WebhookVerificationError

TOLERANCE_S = 5 * 60
UNIX_SECONDS = re.compile(r"[0-9]{1,12}")


class InvalidSignature(Exception):
    """The webhook is forged, was changed on its way, or is too old to be more than a replay; says which."""


class StripeSignatures:
    """Stripe's scheme, https://docs.stripe.com/webhooks#verify-manually.

    `Stripe-Signature: t=<unix seconds>,v1=<hex>[,v1=<hex>...]`, each v1 the HMAC-SHA256 of `<t>.<body>` under one
    secret of the endpoint: there are several while it is rotated.
    """

    HEADER = "stripe-signature"

    def __init__(self, secret: str) -> None:
        """`secret` is used as Stripe shows it, `whsec_` included."""
        self._key = secret.encode()

    def check(self, headers: Mapping[str, str], body: bytes) -> None:
        """Raises InvalidSignature. Names of headers are in small letters."""
        fields = [field.strip().partition("=") for field in headers.get(self.HEADER, "").split(",")]
        timestamp = next((value for name, _, value in fields if name == "t"), "")
        if not UNIX_SECONDS.fullmatch(timestamp):
            raise InvalidSignature("no timestamp")
        expected = hmac.new(self._key, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest().encode()
        given = [value.encode() for name, _, value in fields if name == "v1"]
        if not any(hmac.compare_digest(expected, signature) for signature in given):
            raise InvalidSignature("no matching signature")
        # Stripe's own libraries let the future pass; a clock that is that wrong is no reason to.
        if abs(time.time() - int(timestamp)) > TOLERANCE_S:
            raise InvalidSignature("the timestamp is not of these five minutes")


class StandardSignatures:
    """Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp` and `webhook-signature`, five minutes' tolerance."""

    ID_HEADER = "webhook-id"

    def __init__(self, secret: str) -> None:
        """`secret` is `whsec_` and base64. Raises an error for one that is empty or no base64."""
        self._webhook = Webhook(secret)

    def check(self, headers: Mapping[str, str], body: bytes) -> None:
        """Raises InvalidSignature. Names of headers are in small letters."""
        try:
            self._webhook.verify(body, dict(headers), json_parse=False)
        except WebhookVerificationError as error:
            raise InvalidSignature(str(error)) from error
        except ValueError as error:
            # What the library says of a header or a body that it cannot read at all.
            raise InvalidSignature("not readable") from error
