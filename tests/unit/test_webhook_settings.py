"""What a deployment says about webhooks, in environment variables."""

import base64

import pytest
from pydantic import ValidationError

from contracts.ids import is_endpoint_id, receiver_endpoint_id
from settings import WebhookSettings, WebhookWorkerSettings

PREFIX = "FOLLOWTHROUGH_WEBHOOKS_"
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"t" * 24).decode()


def test_nothing_is_exempt_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, "", " , "):
        if value is not None:
            monkeypatch.setenv(f"{PREFIX}ALLOWED_HOSTS", value)
        settings = WebhookSettings()

        assert settings.allowed == frozenset()
        assert settings.https_only
        assert settings.port_ranges == (range(443, 444), range(80, 81), range(8_000, 10_000))


def test_hosts_and_ports_are_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}ALLOWED_HOSTS", "127.0.0.1:9000, warehouse.internal:80,[::1]:8000")
    monkeypatch.setenv(f"{PREFIX}PORTS", "443, 9000-9001")

    settings = WebhookSettings()

    assert settings.allowed == {"127.0.0.1:9000", "warehouse.internal:80", "[::1]:8000"}
    assert settings.port_ranges == (range(443, 444), range(9_000, 9_002))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("ALLOWED_HOSTS", value) for value in ("localhost", "localhost:", ":80", "a:0", "a:65536", "a:x", "a:-1")),
        *(("PORTS", value) for value in ("x", "0", "65536", "9-8", "1-", "-", "1-2-3", "\u0663")),
    ],
)
def test_what_is_neither_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"{PREFIX}{name}", value)

    with pytest.raises(ValidationError):
        WebhookSettings()


def test_receivers_are_named_with_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}SYSTEM_RECEIVERS", "warehouse=https://w.example/in?a=1, analytics=https://a.example/")
    monkeypatch.setenv(f"{PREFIX}SYSTEM_SECRETS", f"analytics={OTHER_SECRET},warehouse={SECRET}")

    settings = WebhookWorkerSettings()

    assert settings.receivers == {
        "warehouse": ("https://w.example/in?a=1", SECRET),
        "analytics": ("https://a.example/", OTHER_SECRET),
    }
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("receivers", "secrets"),
    [
        ("warehouse=https://w.example/", ""),
        ("", f"warehouse={SECRET}"),
        ("warehouse=https://w.example/", f"analytics={SECRET}"),
        ("warehouse", f"warehouse={SECRET}"),
        ("warehouse=", f"warehouse={SECRET}"),
        ("a=https://a.example/,a=https://b.example/", f"a={SECRET}"),
        ("a=https://a.example/", "a=whsec_AAAA"),
        ("a=https://a.example/", f"a={SECRET.removeprefix('whsec_')}"),
        ("a=https://a.example/", "a=whsec_" + "!" * 40),
    ],
)
def test_incomplete_receivers_are_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, receivers: str, secrets: str
) -> None:
    monkeypatch.setenv(f"{PREFIX}SYSTEM_RECEIVERS", receivers)
    monkeypatch.setenv(f"{PREFIX}SYSTEM_SECRETS", secrets)

    with pytest.raises(ValidationError) as refused:
        WebhookWorkerSettings()

    assert SECRET not in str(refused.value)


def test_a_receivers_endpoint_has_the_same_id_for_ever() -> None:
    assert receiver_endpoint_id("warehouse") == receiver_endpoint_id("warehouse") != receiver_endpoint_id("analytics")
    assert is_endpoint_id(receiver_endpoint_id("warehouse"))
