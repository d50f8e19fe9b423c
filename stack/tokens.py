"""Signs tokens for development with the home's own Ed25519 key; production points at a JWKS URL instead."""

import base64
import hashlib
import json
import time
from collections.abc import Sequence

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from settings import ApiSettings
from stack.errors import StackError
from stack.home import Home, write_private

ALGORITHM = "EdDSA"


def ensure_signing_key(home: Home) -> Ed25519PrivateKey:
    """The home's key, made on first use, with its public part in jwks.json (RFC 7517)."""
    if not home.signing_key.exists():
        fresh = Ed25519PrivateKey.generate()
        pem = fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(home.signing_key, pem.decode())
    key = load_pem_private_key(home.signing_key.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise StackError(f"{home.signing_key} is not an Ed25519 key", remedy="remove that file; a new one is made")
    jwks = json.dumps({"keys": [_public_jwk(key)]}, indent=2)
    if not home.jwks.exists() or home.jwks.read_text() != jwks:
        write_private(home.jwks, jwks)
    return key


def sign_token(home: Home, subject: str, scopes: Sequence[str], ttl_s: int) -> str:
    """A token for this subject (RFC 9068 claims; `scope` is a space-separated string as in RFC 8693)."""
    key = ensure_signing_key(home)
    settings = ApiSettings(jwks_url=home.jwks.as_uri())
    now = int(time.time())
    claims = {
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "sub": subject,
        "scope": " ".join(scopes),
        "iat": now,
        "nbf": now,
        "exp": now + ttl_s,
    }
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": _public_jwk(key)["kid"]})


def _public_jwk(key: Ed25519PrivateKey) -> dict[str, str]:
    public = _base64url(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    required = {"crv": "Ed25519", "kty": "OKP", "x": public}
    # RFC 7638: the hash of the required members, in this order and without spaces.
    canonical = json.dumps(required, separators=(",", ":"), sort_keys=True)
    thumbprint = _base64url(hashlib.sha256(canonical.encode()).digest())
    return {**required, "kid": thumbprint, "alg": ALGORITHM, "use": "sig"}


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
