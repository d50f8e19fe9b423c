"""Which tokens are accepted, and how the keys to check them with are kept."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.auth import CLOCKS_APART_S, Principal, Scope, TokenVerifier
from api.errors import TemporarilyUnavailable, Unauthenticated
from api.keys import TRY_AT_MOST_EVERY_S, SigningKeys
from tests.unit.api.conftest import Sign, jwk_of


@pytest.fixture
def verifier(jwks: Path) -> TokenVerifier:
    return TokenVerifier(SigningKeys(jwks.as_uri()), issuer="followthrough", audience="followthrough-api")


async def test_a_good_token_names_its_principal(verifier: TokenVerifier, sign: Sign) -> None:
    principal = await verifier.verify(f"bearer {sign('orders:read operator')}")

    assert principal == Principal("ada", frozenset({"orders:read", "operator"}))


def without_signature(token: str) -> str:
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT", "kid": "one"}).encode()).rstrip(b"=")
    return f"{header.decode()}.{token.split('.')[1]}."


# In the year 2100; what is near may have passed by the time that the test runs.
FAR_AWAY = 4_102_444_800


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1},
        {"exp": None},
        {"nbf": FAR_AWAY},
        {"aud": "another-api"},
        {"aud": None},
        {"iss": "somebody else"},
        {"iss": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "a\nb"},
        {"sub": "a" * 256},
        {"sub": "\ud83d\ude00"},
        {"key": Ed25519PrivateKey.generate()},
        {"key": "the public key, taken for a secret, is 32 bytes or more", "algorithm": "HS256"},
    ],
    ids=lambda claims: "by somebody else" if claims.keys() == {"key"} else str(claims),
)
async def test_a_bad_token_is_refused(verifier: TokenVerifier, sign: Sign, claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await verifier.verify(f"Bearer {sign(**claims)}")

    assert 'error="invalid_token"' in refused.value.headers["WWW-Authenticate"]


@pytest.mark.parametrize("claim", ["iat", "nbf"])
async def test_an_issuers_clock_may_be_a_little_ahead(verifier: TokenVerifier, sign: Sign, claim: str) -> None:
    ahead = time.time() + CLOCKS_APART_S

    assert (await verifier.verify(f"Bearer {sign(**{claim: ahead - 2})}")).subject == "ada"
    with pytest.raises(Unauthenticated):
        await verifier.verify(f"Bearer {sign(**{claim: ahead + 60})}")


async def test_a_token_ends_when_it_says_so(verifier: TokenVerifier, sign: Sign) -> None:
    now = time.time()

    assert (await verifier.verify(f"Bearer {sign(exp=now + 60)}")).expires_at == now + 60
    with pytest.raises(Unauthenticated, match="it has expired"):
        await verifier.verify(f"Bearer {sign(exp=now - 1)}")


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer a.b.c", "Bearer " + "a" * 9_000]
)
async def test_what_is_no_token_is_refused(verifier: TokenVerifier, header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        await verifier.verify(header)


async def test_an_unsigned_token_is_refused(verifier: TokenVerifier, sign: Sign) -> None:
    with pytest.raises(Unauthenticated):
        await verifier.verify(f"Bearer {without_signature(sign())}")


async def test_a_scope_that_is_no_string_allows_nothing(verifier: TokenVerifier, sign: Sign) -> None:
    principal = await verifier.verify(f"Bearer {sign(scope=['operator'])}")

    assert principal.scopes == frozenset()


def test_writing_implies_reading_and_operators_read_everything() -> None:
    writer, operator = Principal("w", frozenset({"orders:write"})), Principal("o", frozenset({"operator"}))

    assert writer.may(Scope.ORDERS_READ)
    assert operator.may(Scope.ORDERS_READ)
    assert not operator.may(Scope.ORDERS_WRITE)
    assert not writer.may(Scope.OPERATOR)
    assert not Principal("r", frozenset({"orders:read"})).may(Scope.ORDERS_WRITE)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_new_key_is_found_but_the_set_is_not_fetched_for_every_unknown_id(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "jwks.json"
    old, new = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    path.write_text(json.dumps({"keys": [jwk_of(old, "old")]}))
    keys = SigningKeys(path.as_uri(), clock=clock)
    assert await keys.find("old")

    path.write_text(json.dumps({"keys": [jwk_of(old, "old"), jwk_of(new, "new")]}))
    assert await keys.find("new") is None
    clock.now += TRY_AT_MOST_EVERY_S
    assert await keys.find("new")


async def test_without_keys_nothing_can_be_said_and_later_they_are_found(tmp_path: Path, sign: Sign) -> None:
    clock, path = Clock(), tmp_path / "jwks.json"
    keys = SigningKeys(path.as_uri(), clock=clock)
    verifier = TokenVerifier(keys, issuer="followthrough", audience="followthrough-api")
    key = Ed25519PrivateKey.generate()
    token = f"Bearer {sign(key=key)}"

    with pytest.raises(TemporarilyUnavailable):
        await verifier.verify(token)
    path.write_text(json.dumps({"keys": [jwk_of(key, "one")]}))
    clock.now += TRY_AT_MOST_EVERY_S
    assert (await verifier.verify(token)).subject == "ada"


async def test_keys_known_last_are_used_on_when_the_set_becomes_unreadable(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [jwk_of(Ed25519PrivateKey.generate(), "one")]}))
    keys = SigningKeys(path.as_uri(), clock=clock)
    assert await keys.find("one")

    path.write_text("<html>")
    clock.now += TRY_AT_MOST_EVERY_S
    assert await keys.find("two") is None
    assert await keys.find("one")


async def test_symmetric_and_unknown_keys_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    secret = base64.urlsafe_b64encode(b"s" * 32).decode()
    good = jwk_of(Ed25519PrivateKey.generate(), "good")
    members = [{"kty": "oct", "k": secret, "kid": "oct", "alg": "HS256"}, {"kty": "made up"}, {**good, "use": "enc"}]
    path.write_text(json.dumps({"keys": [*members, good]}))
    keys = SigningKeys(path.as_uri())

    assert await keys.find("oct") is None
    assert await keys.find("good")
    assert await keys.find(None), "the only key left"


def test_keys_come_over_https_or_from_a_file() -> None:
    with pytest.raises(ValueError, match="https"):
        SigningKeys("http://issuer.test/jwks.json")


def test_pyjwt_still_checks_what_we_rely_on(sign: Sign, signing_key: Ed25519PrivateKey) -> None:
    with pytest.raises(jwt.InvalidAlgorithmError):
        jwt.decode(sign(), signing_key.public_key(), algorithms=["RS256"], audience="followthrough-api")
