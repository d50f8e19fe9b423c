"""Who calls too often has to wait, and nobody else."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from tests.unit.api.conftest import Sign, client_of, running_app


@pytest.fixture
async def strict_app(jwks: Path) -> AsyncIterator[FastAPI]:
    limits = {"FOLLOWTHROUGH_RATE_LIMIT_PER_SECOND": "0.01", "FOLLOWTHROUGH_RATE_LIMIT_BURST": "2"}
    async with running_app(jwks, **limits) as app:
        yield app


async def test_a_subject_has_a_share_of_its_own(strict_app: FastAPI, sign: Sign) -> None:
    ada, bob = ({"Authorization": f"Bearer {sign(sub=subject)}"} for subject in ("ada", "bob"))
    async with client_of(strict_app) as http:
        statuses = [(await http.get("/v1/nothing", headers=ada)).status_code for _ in range(3)]
        refused = await http.get("/v1/nothing", headers=ada)
        other = await http.get("/v1/nothing", headers=bob)

    assert statuses == [404, 404, 429]
    assert refused.json()["code"] == "rate_limited"
    assert 0 < int(refused.headers["retry-after"]) <= 100
    assert refused.headers["x-content-type-options"] == "nosniff"
    assert other.status_code == 404


async def test_without_a_valid_token_the_address_counts(strict_app: FastAPI) -> None:
    bad = {"Authorization": "Bearer made-up"}
    async with client_of(strict_app, "192.0.2.1") as one, client_of(strict_app, "192.0.2.2") as other:
        assert [(await one.get("/v1/orders", headers=bad)).status_code for _ in range(3)] == [401, 401, 429]
        assert (await one.get("/openapi.json")).status_code == 429
        assert (await other.get("/openapi.json")).status_code == 200
