"""What a deployment says about where files are kept, in environment variables."""

import pytest
from pydantic import ValidationError

from settings import ObjectStoreSettings, S3Settings

URL = "FOLLOWTHROUGH_OBJECT_STORE_URL"


@pytest.mark.parametrize("url", ["file:///var/files", "s3://bucket", "s3://bucket/some/prefix"])
def test_files_are_in_a_folder_or_a_bucket(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(URL, url)

    assert ObjectStoreSettings().object_store_url == url


@pytest.mark.parametrize("url", [None, "", "/var/files", "file://host/files", "https://bucket.example", "memory:///"])
def test_files_are_nowhere_else(monkeypatch: pytest.MonkeyPatch, url: str | None) -> None:
    monkeypatch.delenv(URL, raising=False)
    if url is not None:
        monkeypatch.setenv(URL, url)

    with pytest.raises(ValidationError, match="object_store_url"):
        ObjectStoreSettings()


def test_keys_to_a_bucket_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "an-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-secret-token")

    settings = S3Settings()

    assert settings.access_key_id == "an-id"
    assert settings.secret_access_key is not None
    assert settings.secret_access_key.get_secret_value() == "a-secret"
    assert settings.revealed["secret_access_key"] == "a-secret"
    assert settings.revealed["session_token"] == "a-secret-token"
    assert "secret" not in repr(settings).replace("secret_access_key", "")
