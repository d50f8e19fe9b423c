"""One job after another, as docs/jobs.md has it: its blocks are applied to a copy, and the reader's job is run."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import func, select
from temporalio.exceptions import ApplicationError

from activities.jobs.attempts import start_next
from contracts.job_types.diagnostics import ECHO, EchoArguments, EchoResult
from contracts.jobs import MAX_ARGUMENTS_BYTES, JobStatus
from database.tables import jobs
from tests.integration.jobs.benches import Bench
from tests.shop import Shop
from tests.unit.test_job_tutorial import BLOCKS
from tests.unit.test_tutorial import apply

TYPES, FUNCTION = "contracts/job_types/greetings.py", "activities/jobs/greetings.py"


@pytest.fixture
def greetings(tmp_path: Path) -> Iterator[ModuleType]:
    """The reader's module with the job that starts another."""
    for folder in ("activities/jobs", "contracts/job_types"):
        (tmp_path / folder).mkdir(parents=True)
    for block in BLOCKS:
        if block["path"] in (TYPES, FUNCTION):
            apply(block, tmp_path)
    try:
        _load(tmp_path / TYPES, "contracts.job_types.greetings")
        yield _load(tmp_path / FUNCTION, "activities.jobs.greetings")
    finally:
        for name in ("contracts.job_types.greetings", "activities.jobs.greetings"):
            sys.modules.pop(name, None)


def _load(path: Path, name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


async def following(shop: Shop, job_id: str) -> list[Any]:
    """The echoes of this job's owner, which has no others."""
    async with shop.engine.connect() as connection:
        query = select(jobs.c.id, jobs.c.arguments, jobs.c.subject).where(
            jobs.c.type == ECHO.name, jobs.c.arguments.contains(job_id)
        )
        return list(await connection.execute(query))


async def test_the_documented_chain_runs_its_next_job_once_however_often_it_is_tried(
    shop: Shop, bench: Bench, greetings: ModuleType
) -> None:
    job_id = await bench.row()
    attempts = []

    async def greet(arguments: EchoArguments) -> EchoResult:
        attempts.append(arguments)
        done = await greetings.greet(greetings.GreetArguments(name=job_id))
        if len(attempts) < 3:
            raise ApplicationError("lost after the next job was accepted", type="lost")
        return EchoResult(message=done.greeting, attempt=len(attempts))

    async with bench.running(greet):
        await bench.start(job_id)
        done = await bench.until(job_id, JobStatus.SUCCEEDED)

    assert done.attempt == len(attempts) == 3
    [following_job] = await following(shop, job_id)
    assert following_job.subject == done.subject
    echoed = await bench.until(following_job.id, JobStatus.SUCCEEDED)
    assert f"Hello, {job_id}" in (echoed.result or "")


async def test_a_next_job_with_more_than_256_kib_fails_the_one_that_wants_it(shop: Shop, bench: Bench) -> None:
    async def run(arguments: EchoArguments) -> EchoResult:
        await start_next(ECHO, EchoArguments(message=f"{job_id} {'x' * MAX_ARGUMENTS_BYTES}"))
        raise AssertionError(arguments)

    job_id = await bench.row()
    async with bench.running(run):
        await bench.start(job_id)
        job = await bench.until(job_id, JobStatus.FAILED)

    assert job.last_error is not None
    assert (job.last_error.code, job.attempt) == ("arguments_too_large", 1)
    assert await following(shop, job_id) == []


async def test_a_next_job_that_is_over_is_not_started_again(shop: Shop, bench: Bench, greetings: ModuleType) -> None:
    job_id = await bench.row()
    waited = []

    async def greet(arguments: EchoArguments) -> EchoResult:
        done = await greetings.greet(greetings.GreetArguments(name=job_id))
        [next_job] = await following(shop, job_id)
        waited.append((await bench.until(next_job.id, JobStatus.SUCCEEDED)).id)
        if len(waited) < 2:
            raise ApplicationError("once more", type="once_more")
        return EchoResult(message=done.greeting, attempt=2)

    async with bench.running(greet):
        await bench.start(job_id)
        await bench.until(job_id, JobStatus.SUCCEEDED)

    assert len(set(waited)) == 1
    async with shop.engine.connect() as connection:
        mine = select(func.count()).where(jobs.c.type == ECHO.name, jobs.c.arguments.contains(job_id))
        assert await connection.scalar(mine) == 1
