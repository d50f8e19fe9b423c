"""What providers send while no secret is configured, or Postgres is away."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from settings import ApiSettings
from tests.inbound_events import dispute, encoded, payment_event, shipment_event, standard_headers, stripe_headers
from tests.unit.api.conftest import client_of, running_app

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PAYMENT = encoded(payment_event("charge.dispute.created", dispute()))
SHIPMENT = encoded(shipment_event())
PATHS = ("/v1/inbound/payments", "/v1/inbound/carrier")


def signed(path: str) -> tuple[bytes, dict[str, str]]:
    """A body for this path and the headers that sign it, now."""
    if path == "/v1/inbound/payments":
        return PAYMENT, stripe_headers(SECRET, PAYMENT)
    return SHIPMENT, standard_headers(SECRET, "msg_1", SHIPMENT)


@pytest.mark.parametrize("path", PATHS)
async def test_without_a_secret_nothing_is_believed(jwks: Path, path: str) -> None:
    body, headers = signed(path)
    async with running_app(jwks) as app, client_of(app) as http:
        answer = await http.post(path, content=body, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "signature_invalid")


@pytest.mark.parametrize("path", PATHS)
async def test_what_cannot_be_kept_is_not_said_to_be_received(jwks: Path, path: str) -> None:
    body, headers = signed(path)
    secrets = {"FOLLOWTHROUGH_PAYMENTS_WEBHOOK_SECRET": SECRET, "FOLLOWTHROUGH_CARRIER_WEBHOOK_SECRET": SECRET}
    async with running_app(jwks, **secrets) as app, client_of(app) as http:
        answer = await http.post(path, content=body, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (503, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("name", ["FOLLOWTHROUGH_PAYMENTS_WEBHOOK_SECRET", "FOLLOWTHROUGH_CARRIER_WEBHOOK_SECRET"])
def test_an_empty_secret_with_which_anyone_could_sign_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("FOLLOWTHROUGH_JWKS_URL", "file:///jwks.json")
    monkeypatch.setenv(name, "")

    with pytest.raises(ValidationError, match="webhook_secret"):
        ApiSettings()
