"""Who calls too often has to wait, and nobody else."""

import time
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


async def test_an_address_may_sign_up_sixty_times_a_minute_unless_told_otherwise(jwks: Path) -> None:
    async with running_app(jwks) as app, client_of(app, "192.0.2.1") as one, client_of(app, "192.0.2.2") as other:
        begun, allowed = time.monotonic(), 0
        # None of them is a sign-up that Postgres would be needed for: whoever asks is counted all the same.
        while (answer := await one.post("/v1/accounts", json={})).status_code == 422:
            allowed += 1
        took_s = time.monotonic() - begun

        assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
        assert answer.headers["retry-after"] == "1"
        assert 60 <= allowed <= 60 + took_s
        assert (await one.get("/v1/orders")).status_code == 401
        assert (await other.post("/v1/accounts", json={})).status_code == 422
