"""What providers' webhooks have to be signed with, and when, to be believed."""

import hashlib
import hmac
import time

import pytest

from providers.webhook_signatures import InvalidSignature, StandardSignatures, StripeSignatures
from tests.inbound_events import standard_headers

SECRET = "whsec_5WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH"
OTHER_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"id": "evt_1",\n  "type": "payment_intent.succeeded", "note": "\xc3\xa9"}'
LATE_S = 301
# A second may pass while a test runs.
JUST_IN_TIME_S = 298

stripe = StripeSignatures(SECRET)
standard = StandardSignatures(SECRET)


def v1(body: bytes = BODY, *, secret: str = SECRET, timestamp: str) -> str:
    """https://docs.stripe.com/webhooks#verify-manually, steps 2 and 3."""
    signed_payload = timestamp + "." + body.decode()
    return hmac.new(secret.encode("utf-8"), signed_payload.encode("utf-8"), hashlib.sha256).hexdigest()


def now(offset_s: float = 0) -> str:
    return str(int(time.time() + offset_s))


def stripe_accepts(header: str, body: bytes = BODY) -> bool:
    try:
        stripe.check({"stripe-signature": header}, body)
    except InvalidSignature:
        return False
    return True


def standard_accepts(headers: dict[str, str], body: bytes = BODY) -> bool:
    try:
        standard.check(headers, body)
    except InvalidSignature:
        return False
    return True


def test_stripes_signature_is_of_time_and_body() -> None:
    at = now()

    assert stripe_accepts(f"t={at},v1={v1(timestamp=at)}")
    assert stripe_accepts(f"t={at}, v1={v1(timestamp=at)}, v0=6ffbb59b2300aae63f272406069a9788")
    assert not stripe_accepts(f"t={at},v1={v1(timestamp=at)}", BODY + b" ")
    assert not stripe_accepts(f"t={now(-1)},v1={v1(timestamp=at)}")
    assert not stripe_accepts(f"t={at},v1={v1(timestamp=at, secret=OTHER_SECRET)}")
    assert not stripe_accepts(f"t={at},v1={v1(timestamp=at, secret=SECRET.removeprefix('whsec_'))}")


def test_an_example_with_values_worked_out_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `printf '1492774577.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test`."""
    monkeypatch.setattr(time, "time", lambda: 1_492_774_600.0)
    signature = "7656fc2882a7ca0a651666b36bf2f2f22ee204f54f608f227498a2419f2890b2"

    StripeSignatures("whsec_test").check({"stripe-signature": f"t=1492774577,v1={signature}"}, b'{"id":"evt_1"}')


def test_while_a_secret_is_rotated_one_of_several_signatures_is_enough() -> None:
    at = now()
    good, other = v1(timestamp=at), v1(timestamp=at, secret=OTHER_SECRET)

    assert stripe_accepts(f"t={at},v1={good},v1={other}")
    assert stripe_accepts(f"t={at},v1={other},v1={good}")
    assert not stripe_accepts(f"t={at},v1={other},v1={other}")


def test_a_signature_of_another_scheme_is_none() -> None:
    at = now()

    assert not stripe_accepts(f"t={at},v0={v1(timestamp=at)}")
    assert not stripe_accepts(f"t={at},v2={v1(timestamp=at)}")


@pytest.mark.parametrize("sign", [1, -1], ids=["ahead", "behind"])
def test_five_minutes_are_tolerated_and_no_more(sign: int) -> None:
    within, beyond = now(sign * JUST_IN_TIME_S), now(sign * (LATE_S + 1))

    assert stripe_accepts(f"t={within},v1={v1(timestamp=within)}")
    assert not stripe_accepts(f"t={beyond},v1={v1(timestamp=beyond)}")
    assert standard_accepts(standard_headers(SECRET, "msg_1", BODY, at=int(within)))
    assert not standard_accepts(standard_headers(SECRET, "msg_1", BODY, at=int(beyond)))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "garbage",
        "t=,v1=",
        ",,,===",
        "v1={good}",
        "t={at}",
        "t={at},v1=",
        "t={at},v1={good}0",
        "t={at} ,v1=\u00e9\u00ff",
        "t=-{at},v1={good}",
        "t={at}.0,v1={good}",
        "t=1_7,v1={good}",
        "t=\u0661\u0662,v1={good}",
        "t=" + "9" * 5_000 + ",v1={good}",
        "T={at},V1={good}",
    ],
)
def test_garbage_is_no_signature_of_stripes(header: str) -> None:
    at = now()

    assert not stripe_accepts(header.format(at=at, good=v1(timestamp=at)))


def test_no_header_is_no_signature() -> None:
    with pytest.raises(InvalidSignature):
        stripe.check({}, BODY)
    with pytest.raises(InvalidSignature):
        standard.check({}, BODY)


def test_the_standard_signature_is_of_id_time_and_body() -> None:
    headers = standard_headers(SECRET, "msg_1", BODY)

    assert standard_accepts(headers)
    assert not standard_accepts(headers, BODY + b" ")
    assert not standard_accepts({**headers, "webhook-id": "msg_2"})
    assert not standard_accepts(standard_headers(OTHER_SECRET, "msg_1", BODY))


def test_one_of_several_standard_signatures_is_enough() -> None:
    good = standard_headers(SECRET, "msg_1", BODY)
    other = standard_headers(OTHER_SECRET, "msg_1", BODY)["webhook-signature"]

    assert standard_accepts({**good, "webhook-signature": f"{other} v1a,c2lnbmF0dXJl {good['webhook-signature']}"})
    assert not standard_accepts({**good, "webhook-signature": other})


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-signature": "garbage"},
        {"webhook-signature": "v1,!"},
        {"webhook-signature": "v1,a"},
        {"webhook-signature": "v1,\u00e9"},
        {"webhook-signature": ","},
        {"webhook-signature": ""},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "now"},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "inf"},
        {"webhook-timestamp": "9" * 400},
        {"webhook-id": ""},
    ],
    ids=str,
)
def test_garbage_is_no_standard_signature(changes: dict[str, str]) -> None:
    assert not standard_accepts({**standard_headers(SECRET, "msg_1", BODY), **changes})


def test_a_body_that_is_no_text_has_no_standard_signature() -> None:
    assert not standard_accepts(standard_headers(SECRET, "msg_1", BODY), b"\xff\xfe")


@pytest.mark.parametrize("secret", ["", "whsec_"])
def test_an_empty_secret_is_refused_at_once(secret: str) -> None:
    with pytest.raises(Exception, match="empty"):
        StandardSignatures(secret)
