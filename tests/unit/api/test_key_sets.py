"""The keys that tokens are checked with: of which kinds, over HTTPS, replaced, dropped, and while nobody gives any."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from starlette.types import Receive, Scope, Send

from api.auth import TokenVerifier
from api.errors import Unauthenticated
from api.keys import REFRESH_EVERY_S, TRY_AT_MOST_EVERY_S, KeysUnavailable, SigningKeys
from tests.integration.webhooks.receivers import Authority
from tests.unit.api.conftest import jwk_of

CLAIMS = {"iss": "followthrough", "aud": "followthrough-api", "sub": "ada", "scope": "orders:read"}


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Issuer:
    """Publishes keys over HTTPS, unless it is away; counts who asks."""

    url: str = ""
    keys: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    asked: int = 0

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        self.asked += 1
        headers = [(b"location", b"https://localhost/elsewhere")] if self.status == 302 else []
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps({"keys": self.keys}).encode()})


@pytest.fixture
async def issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Issuer]:
    authority = Authority.found(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle()))
    published = Issuer()
    config = uvicorn.Config(published, lifespan="off", log_config=None)
    config.load()
    config.ssl = authority.server_of("localhost")
    config.host, config.port = "127.0.0.1", 0
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    published.url = f"https://localhost:{port}/jwks.json"
    yield published
    server.should_exit = True
    await serving


def token(key: Any, algorithm: str, key_id: str = "one", **headers: Any) -> str:
    claims = {**CLAIMS, "exp": int(time.time()) + 60}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": key_id, **headers})


def verifier(keys: SigningKeys) -> TokenVerifier:
    return TokenVerifier(keys, issuer="followthrough", audience="followthrough-api")


def published(tmp_path: Path, *keys: dict[str, Any]) -> TokenVerifier:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": keys}))
    return verifier(SigningKeys(path.as_uri()))


RSA_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_JWK = {**RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True), "kid": "rsa", "use": "sig"}
EC_JWK = {**ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True), "kid": "ec", "use": "sig"}


@pytest.mark.parametrize("named", [True, False], ids=["alg named", "alg left out"])
async def test_rsa_and_elliptic_keys_count_beside_edwards_ones(tmp_path: Path, named: bool) -> None:
    own = Ed25519PrivateKey.generate()
    rsa_jwk, ec_jwk = ({**RSA_JWK, "alg": "RS256"}, {**EC_JWK, "alg": "ES256"}) if named else (RSA_JWK, EC_JWK)
    judge = published(tmp_path, jwk_of(own, "ed"), rsa_jwk, ec_jwk)

    for key, algorithm, key_id in ((own, "EdDSA", "ed"), (RSA_KEY, "RS256", "rsa"), (EC_KEY, "ES256", "ec")):
        assert (await judge.verify_token(token(key, algorithm, key_id))).subject == "ada", algorithm


def signed_with_the_public_key(jwk: dict[str, Any], public: bytes) -> str:
    """What an attacker makes who takes a public key for a shared secret. PyJWT itself would refuse to sign this."""
    parts = ({"alg": "HS256", "kid": jwk["kid"]}, {**CLAIMS, "exp": int(time.time()) + 60})
    signed = ".".join(encoded(json.dumps(part).encode()) for part in parts)
    return f"{signed}.{encoded(hmac.digest(public, signed.encode(), hashlib.sha256))}"


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


async def test_no_key_is_taken_for_one_of_another_kind(tmp_path: Path) -> None:
    judge = published(tmp_path, RSA_JWK, EC_JWK)
    stranger = Ed25519PrivateKey.generate()
    public = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    embedded = OKPAlgorithm.to_jwk(stranger.public_key(), as_dict=True)
    tokens = {
        "public key as secret": signed_with_the_public_key(RSA_JWK, public),
        "n as secret": signed_with_the_public_key(RSA_JWK, RSA_JWK["n"].encode()),
        "key of another id": token(RSA_KEY, "RS256", "ec"),
        "of ours, by another algorithm": token(RSA_KEY, "PS256", "rsa"),
        "longer hash": token(RSA_KEY, "RS512", "rsa"),
        "key brought along": token(stranger, "EdDSA", "rsa", jwk=embedded),
        "key to be fetched": token(stranger, "EdDSA", "stranger", jku="https://evil.example/jwks.json"),
        "no key named, of two": jwt.encode({**CLAIMS, "exp": int(time.time()) + 60}, RSA_KEY, algorithm="RS256"),
        "what we don't understand": token(RSA_KEY, "RS256", "rsa", crit=["made-up"], **{"made-up": 1}),
    }

    for name, made_up in tokens.items():
        with pytest.raises(Unauthenticated):
            pytest.fail(f"{name}: {await judge.verify_token(made_up)}")


async def test_keys_are_fetched_over_https_and_a_new_one_as_soon_as_a_token_names_it(issuer: Issuer) -> None:
    clock, old, new = Clock(), Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    issuer.keys = [jwk_of(old, "old")]
    judge = verifier(SigningKeys(issuer.url, clock=clock))

    assert (await judge.verify_token(token(old, "EdDSA", "old"))).subject == "ada"
    issuer.keys.append(jwk_of(new, "new"))
    clock.now += TRY_AT_MOST_EVERY_S
    assert (await judge.verify_token(token(new, "EdDSA", "new"))).subject == "ada"
    assert issuer.asked == 2


async def test_made_up_key_ids_have_the_set_fetched_every_two_seconds_at_most(issuer: Issuer) -> None:
    clock, key = Clock(), Ed25519PrivateKey.generate()
    issuer.keys = [jwk_of(key, "one")]
    keys = SigningKeys(issuer.url, clock=clock)

    found = await asyncio.gather(*(keys.find(f"made-up-{number}") for number in range(50)))
    assert (set(found), issuer.asked) == ({None}, 1)
    clock.now += TRY_AT_MOST_EVERY_S
    await asyncio.gather(*(keys.find(f"made-up-{number}") for number in range(50)))
    assert issuer.asked == 2


async def test_a_dropped_key_stops_counting_within_ten_minutes(issuer: Issuer) -> None:
    clock, kept, dropped = Clock(), Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    issuer.keys = [jwk_of(kept, "kept"), jwk_of(dropped, "dropped")]
    keys = SigningKeys(issuer.url, clock=clock)
    assert await keys.find("dropped")
    issuer.keys.pop()

    # While tokens come in, the set is fetched behind the first one that finds it five minutes old.
    clock.now += REFRESH_EVERY_S + 1
    assert await keys.find("kept")
    while issuer.asked == 1 or await keys.find("dropped"):
        await asyncio.sleep(0.01)
    assert issuer.asked == 2
    assert await keys.find("kept")


async def test_nor_does_it_count_once_more_when_nobody_has_called_for_long(issuer: Issuer) -> None:
    clock, dropped = Clock(), Ed25519PrivateKey.generate()
    issuer.keys = [jwk_of(dropped, "dropped")]
    keys = SigningKeys(issuer.url, clock=clock)
    assert await keys.find("dropped")
    issuer.keys.clear()

    clock.now += 2 * REFRESH_EVERY_S + 1

    assert 2 * REFRESH_EVERY_S <= 600
    assert await keys.find("dropped") is None


@pytest.mark.parametrize("status", [500, 404, 302])
async def test_while_the_issuer_is_away_the_keys_known_last_count(issuer: Issuer, status: int) -> None:
    clock, key = Clock(), Ed25519PrivateKey.generate()
    issuer.keys = [jwk_of(key, "one")]
    keys = SigningKeys(issuer.url, clock=clock)
    assert await keys.find("one")

    issuer.status = status
    for _ in range(3):
        clock.now += 2 * REFRESH_EVERY_S + 1
        assert await keys.find("one")
    assert issuer.asked == 4, "it is asked again and again"
    issuer.status, issuer.keys = 200, []
    clock.now += 2 * REFRESH_EVERY_S + 1
    assert await keys.find("one") is None


async def test_an_issuer_that_nobody_vouches_for_gives_no_keys(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer.keys = [jwk_of(Ed25519PrivateKey.generate(), "one")]
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(KeysUnavailable):
        await SigningKeys(issuer.url).find("one")
    assert issuer.asked == 0
