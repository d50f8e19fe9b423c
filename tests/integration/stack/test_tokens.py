"""Tokens for development, checked the way the API checks them: against the home's jwks.json."""

import json
from pathlib import Path

import jwt
import pytest

from tests.stack_session import followthrough


def test_a_token_verifies_against_the_published_key(home: Path) -> None:
    printed = _token(home, "--subject", "ada", "--scope", "orders:write", "--scope", "operator")

    key = jwt.PyJWKSet.from_json((home / "jwks.json").read_text())[jwt.get_unverified_header(printed)["kid"]]
    claims = jwt.decode(printed, key, algorithms=["EdDSA"], audience="followthrough-api", issuer="followthrough")
    assert claims["sub"] == "ada"
    assert claims["scope"] == "orders:write operator"
    assert claims["nbf"] == claims["iat"]
    assert claims["exp"] - claims["iat"] == 12 * 3_600


def test_the_private_key_is_the_owners_alone_and_kept(home: Path) -> None:
    first = jwt.get_unverified_header(_token(home, "--subject", "ada", "--scope", "orders:read"))
    second = jwt.get_unverified_header(_token(home, "--subject", "bob", "--scope", "orders:read"))

    assert first == second
    assert (home / "signing-key.pem").stat().st_mode & 0o777 == 0o600
    published = json.loads((home / "jwks.json").read_text())["keys"]
    assert [set(key) for key in published] == [{"crv", "kty", "x", "kid", "alg", "use"}]


@pytest.mark.parametrize(("ttl", "seconds"), [("90", 90), ("15m", 900), ("7d", 604_800)])
def test_a_token_lives_as_long_as_told(home: Path, ttl: str, seconds: int) -> None:
    printed = _token(home, "--subject", "ada", "--scope", "orders:read", "--ttl", ttl)

    claims = jwt.decode(printed, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == seconds


def test_a_time_to_live_that_is_none_is_refused(home: Path) -> None:
    refused = followthrough(
        "token", "--home", str(home), "--subject", "ada", "--scope", "orders:read", "--ttl", "a while"
    )

    assert refused.returncode == 2
    assert refused.stdout == ""


def _token(home: Path, *arguments: str) -> str:
    """What the command prints; a token and nothing else."""
    done = followthrough("token", "--home", str(home), *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.split()) == 1
    return done.stdout.strip()
