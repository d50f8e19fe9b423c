"""An application whose Postgres and Temporal are away: nothing listens where it looks for them."""

import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from jwt.algorithms import OKPAlgorithm

from api.app import create_app

Sign = Callable[..., str]


@pytest.fixture(scope="module")
def signing_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture(scope="module")
def jwks(tmp_path_factory: pytest.TempPathFactory, signing_key: Ed25519PrivateKey) -> Path:
    path = tmp_path_factory.mktemp("keys") / "jwks.json"
    path.write_text(json.dumps({"keys": [jwk_of(signing_key, "one")]}))
    return path


def jwk_of(key: Ed25519PrivateKey, key_id: str) -> dict[str, Any]:
    return {**OKPAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "alg": "EdDSA", "use": "sig"}


@pytest.fixture(scope="module")
def sign(signing_key: Ed25519PrivateKey) -> Sign:
    """Signs a token of Ada's; keyword arguments replace claims, or remove them when None."""

    def signed(scope: str = "orders:write", *, key: Any = signing_key, algorithm: str = "EdDSA", **claims: Any) -> str:
        now = int(time.time())
        all_claims = {
            "iss": "followthrough",
            "aud": "followthrough-api",
            "sub": "ada",
            "scope": scope,
            "exp": now + 60,
            **claims,
        }
        kept = {name: value for name, value in all_claims.items() if value is not None}
        return jwt.encode(kept, key, algorithm=algorithm, headers={"kid": "one"})

    return signed


@pytest.fixture(scope="module")
async def app(jwks: Path) -> AsyncIterator[FastAPI]:
    async with running_app(jwks) as created:
        yield created


@pytest.fixture(scope="module")
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


@asynccontextmanager
async def running_app(jwks: Path, **variables: str) -> AsyncIterator[FastAPI]:
    """An application started with these environment variables besides those it cannot do without."""
    nowhere = f"127.0.0.1:{_closed_port()}"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABASE_URL", f"postgresql://nobody:none@{nowhere}/nothing")
        environment.setenv("TEMPORAL_ADDRESS", nowhere)
        environment.setenv("FOLLOWTHROUGH_JWKS_URL", jwks.as_uri())
        environment.setenv("FOLLOWTHROUGH_OBJECT_STORE_URL", (jwks.parent / "files").as_uri())
        environment.setenv("FOLLOWTHROUGH_API_METRICS_PORT", "0")
        environment.setenv("FOLLOWTHROUGH_CONFIRMATION_SECRET", "0" * 32)
        environment.setenv("FOLLOWTHROUGH_SESSION_SECRET", "1" * 32)
        for name, value in variables.items():
            environment.setenv(name, value)
        created = create_app()
        async with created.router.lifespan_context(created):
            yield created


def client_of(app: FastAPI, address: str = "192.0.2.1") -> httpx.AsyncClient:
    """Somebody who calls the application from this address."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(address, 1)), base_url="http://api.test")


def _closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
