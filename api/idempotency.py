"""What our books know an Idempotency-Key by."""

import secrets
from hashlib import sha256


def key_hash_of(key: str | None) -> str:
    """Its SHA-256; without a key, one that no other request has."""
    return sha256(key.encode() if key is not None else secrets.token_bytes(32)).hexdigest()
