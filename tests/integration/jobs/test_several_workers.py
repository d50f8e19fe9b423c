"""Workers of several kinds as processes of their own: what they share, what each is bounded by, and what dies with one.

Which job ran where and when is asked of Temporal, and of our books.
"""

import asyncio
import io
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest
from PIL import Image
from sqlalchemy import text
from temporalio import activity
from temporalio.client import ActivityExecutionDescription, Client
from temporalio.worker import Worker

from stack.home import Home
from tests import reports
from tests.acceptance.client import POLL_S, WITHIN_S, Caller, new_key
from tests.chaos.workers import WorkerProcess, Workers
from tests.jobs import Json, accepted, echo, until
from tests.shop import Shop, open_shop
from tests.stack_session import RunningStack, bring_up, home_without_worker

pytestmark = pytest.mark.outage

JOB_QUEUES = "jobs,jobs-bulk"
AT_ONCE = 3
LIMITED, RATE = 24, 8.0
CROWD = 300
# Just not too large, and not too many.
HUGE, MANY = (7_700, 7_700), list(range(4_096, 4_086, -1))
GONE_WITHIN_S = 5.0
DRAIN_S, TWO_DRAINS_S = 2.0, 4.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with everything but a worker."""
    with home_without_worker(tmp_path_factory.mktemp("workers") / "home") as home:
        yield home


@pytest.fixture(scope="module")
async def workerless(home: Path) -> RunningStack:
    return RunningStack.of(home, bring_up(home, "--without", "worker"))


@pytest.fixture(scope="module")
async def shop(workerless: RunningStack) -> AsyncIterator[Shop]:
    async with open_shop(workerless) as opened:
        yield opened


@pytest.fixture
async def workers(home: Path) -> AsyncIterator[Workers]:
    started = Workers(home)
    yield started
    await started.end()


@pytest.fixture
async def http(workerless: RunningStack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=workerless.api_url, timeout=30) as client:
        yield client


def somebody(http: httpx.AsyncClient, stack: RunningStack) -> Caller:
    return Caller(http, stack, f"owner-{uuid4().hex[:6]}", "jobs:write")


@pytest.fixture
def owner(http: httpx.AsyncClient, workerless: RunningStack) -> Caller:
    return somebody(http, workerless)


async def ready(workers: Workers, queues: str) -> WorkerProcess:
    """A worker that polls these queues."""
    worker = await workers.start(queues=queues)
    await worker.ready_at()
    return worker


async def ended(shop: Shop, jobs: list[Json]) -> list[ActivityExecutionDescription]:
    """What Temporal says of jobs once they are over."""
    async with asyncio.timeout(WITHIN_S):
        for job in jobs:
            await shop.client.get_activity_handle(job["id"]).result()
    return [await shop.client.get_activity_handle(job["id"]).describe() for job in jobs]


def times_of(described: ActivityExecutionDescription) -> tuple[datetime, datetime]:
    assert described.last_started_time is not None
    assert described.close_time is not None
    return described.last_started_time, described.close_time


def worker_of(described: ActivityExecutionDescription) -> int:
    """The pid of the worker that ran it last."""
    return int(str(described.last_worker_identity).partition("@")[0])


def most_at_once(described: list[ActivityExecutionDescription]) -> int:
    """How many ran at the same time, at most."""
    changes = sorted((at, change) for one in described for at, change in zip(times_of(one), (1, -1), strict=True))
    running = most = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most


async def started_all(shop: Shop) -> None:
    """Wait until Temporal has been told of every job."""
    async with asyncio.timeout(WITHIN_S):
        while await counted(shop, "SELECT count(*) FROM outbox WHERE kind = 'job_accepted'"):
            await asyncio.sleep(POLL_S)


async def counted(shop: Shop, query: str, **values: object) -> int:
    async with shop.engine.connect() as connection:
        return int(await connection.scalar(text(query), values) or 0)


async def test_a_worker_runs_so_many_jobs_of_a_queue_at_once_and_two_workers_twice_as_many(
    owner: Caller, shop: Shop, workers: Workers
) -> None:
    await ready(workers, "orders")
    jobs = [await echo(owner, sleep_s=1) for _ in range(6 * AT_ONCE)]
    await started_all(shop)

    both = [await workers.start(queues=JOB_QUEUES, FOLLOWTHROUGH_JOBS_AT_ONCE=str(AT_ONCE)) for _ in range(2)]
    described = await ended(shop, jobs)

    by_worker: dict[int, list[ActivityExecutionDescription]] = defaultdict(list)
    for one in described:
        by_worker[worker_of(one)].append(one)
    assert by_worker.keys() == {worker.pid for worker in both}
    assert [most_at_once(theirs) for theirs in by_worker.values()] == [AT_ONCE, AT_ONCE]
    assert AT_ONCE < most_at_once(described) <= 2 * AT_ONCE


async def test_a_queues_rate_limit_holds_over_all_workers(shop: Shop) -> None:
    queue = f"limited-{uuid4().hex[:8]}"

    @activity.defn(name="limited")
    async def nothing() -> None:
        """Over at once: but for the limit all of them would be."""

    handles = [
        await shop.client.start_activity(
            "limited", id=new_key(), task_queue=queue, start_to_close_timeout=timedelta(seconds=10)
        )
        for _ in range(LIMITED)
    ]
    other = await Client.connect(shop.client.service_client.config.target_host, namespace=shop.client.namespace)
    limited = [
        Worker(client, task_queue=queue, activities=[nothing], max_task_queue_activities_per_second=RATE)
        for client in (shop.client, other)
    ]
    async with limited[0], limited[1], asyncio.timeout(WITHIN_S):
        for handle in handles:
            await handle.result()
    starts = sorted([times_of(await handle.describe())[0] for handle in handles])

    # However slow the machine is, they cannot be quicker than this. What the limit lets through at once in the
    # beginning is one second's worth.
    assert (starts[-1] - starts[0]).total_seconds() > (LIMITED - RATE) / RATE * 0.9


async def test_three_hundred_jobs_of_one_customer_do_not_keep_anothers_one_waiting(
    http: httpx.AsyncClient, workerless: RunningStack, shop: Shop, workers: Workers
) -> None:
    many, one = somebody(http, workerless), somebody(http, workerless)
    await ready(workers, "orders")
    slots = asyncio.Semaphore(20)

    async def ask() -> None:
        async with slots:
            await echo(many, sleep_s=0.05)

    await asyncio.gather(*(ask() for _ in range(CROWD)))
    await started_all(shop)
    last = await echo(one)
    await started_all(shop)

    for _ in range(2):
        await workers.start(queues=JOB_QUEUES, FOLLOWTHROUGH_JOBS_AT_ONCE=str(AT_ONCE))
    done = await until(one, last, "succeeded")

    before = await counted(
        shop,
        "SELECT count(*) FROM jobs WHERE subject = :subject AND started_at < CAST(CAST(:at AS text) AS timestamptz)",
        subject=many.subject,
        at=done["started_at"],
    )
    assert before < CROWD / 5


async def test_a_stopping_worker_waits_for_all_its_queues_at_the_same_time(
    owner: Caller, shop: Shop, workers: Workers
) -> None:
    await ready(workers, "orders")
    stopping = await workers.start(queues=JOB_QUEUES, FOLLOWTHROUGH_WORKER_DRAIN_S=str(DRAIN_S))
    long = {"message": "hello", "sleep_s": 30}
    jobs = [await accepted(owner, queue=queue, arguments=long) for queue in JOB_QUEUES.split(",")]
    for job in jobs:
        await until(owner, job, "running")

    took = await stopping.stop()

    assert DRAIN_S <= took < TWO_DRAINS_S
    for job in jobs:
        await owner.post(job["links"]["cancel"])


# A kill, and half a minute.
async def test_a_killed_worker_leaves_no_process_of_a_job_behind_and_the_job_runs_again(
    owner: Caller, home: Path, shop: Shop, workers: Workers
) -> None:
    await ready(workers, "orders")
    dying = await ready(workers, "cpu")
    job = await until(owner, await thumbnails_of(owner, home, HUGE, MANY), "running")
    family = await family_of(dying.pid)

    await dying.kill()

    async with asyncio.timeout(GONE_WITHIN_S):
        while any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family):
            await asyncio.sleep(POLL_S)
    await workers.start(queues="cpu")
    done = await until(owner, job, "succeeded")
    assert done["attempt"] == 2


async def test_computing_jobs_wait_for_a_worker_of_their_queue(
    owner: Caller, home: Path, shop: Shop, workers: Workers
) -> None:
    await ready(workers, f"orders,{JOB_QUEUES}")
    job = await thumbnails_of(owner, home, (64, 64), [32])
    assert (await until(owner, await echo(owner), "succeeded"))["queue"] == "jobs"
    assert (await until(owner, job, "queued", "scheduled"))["attempt"] == 0

    computing = await workers.start(queues="cpu")

    (described,) = await ended(shop, [job])
    assert worker_of(described) == computing.pid


async def test_operators_see_what_waits_on_a_queue_that_nobody_polls_and_then_who_polls_it(
    workerless: RunningStack, http: httpx.AsyncClient, shop: Shop, workers: Workers
) -> None:
    owner = Caller(http, workerless, "olga", "operator", "reports:write")
    await ready(workers, "orders")
    waiting = [await reports.accepted(owner) for _ in range(3)]
    await started_all(shop)

    # No other test has a worker for reports. Temporal counts what waits a moment after it has come.
    left = await queue_of(owner, "reports", until_depth=3)
    assert left["pollers"] == []
    assert left["added_per_s"] > 0
    assert 0 < left["oldest_age_s"] < WITHIN_S

    polling = await ready(workers, "reports")
    for report in waiting:
        await reports.until(owner, report, "succeeded")
    polled = await queue_of(owner, "reports", until_depth=0)
    assert [poller["identity"].partition("@")[0] for poller in polled["pollers"]] == [str(polling.pid)]
    assert polled["pollers"][0]["build_id"]
    assert polled["dispatched_per_s"] > 0
    assert polled["oldest_age_s"] == 0


async def queue_of(operator: Caller, name: str, *, until_depth: int) -> Json:
    """The activities of a queue, once so many of them wait."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            answer = await operator.get("/v1/admin/queues")
            assert answer.status_code == 200, answer.text
            [found] = [queue["activity"] for queue in answer.json()["items"] if queue["name"] == name]
            if found["depth"] == until_depth:
                return dict(found)
            await asyncio.sleep(POLL_S)


async def test_a_job_that_blocks_the_event_loop_is_named_in_the_workers_log(owner: Caller, workers: Workers) -> None:
    blocked = await workers.start_module("tests.integration.jobs.worker_that_blocks")
    await blocked.ready_at()
    await until(owner, await accepted(owner, arguments={"message": "hello", "sleep_s": 2}), "succeeded")

    told = [line for line in blocked.log_lines() if line["event"] == "the event loop is blocked"]
    assert [line["level"] for line in told] == ["warning"]
    assert "in impolite_echo" in told[0]["stack"]
    assert told[0]["process"] == "worker"


async def thumbnails_of(owner: Caller, home: Path, size: tuple[int, int], edges: list[int]) -> Json:
    """A job on the queue cpu, that takes the longer the more it is to make."""
    key = f"images/{uuid4().hex}"
    written = io.BytesIO()
    Image.new("RGB", size).save(written, "PNG", compress_level=1)
    path = Home(home).files / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(written.getvalue())
    return await accepted(owner, type="images.thumbnails", arguments={"key": key, "sizes": edges})


async def family_of(pid: int) -> list[psutil.Process]:
    """A worker's descendants, once the process of a job is among them: the server that forks them, and its child."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            family = psutil.Process(pid).children(recursive=True)
            if any(process.ppid() != pid for process in family):
                return family
            await asyncio.sleep(POLL_S)
