"""The outbox: what was committed is done, in order, by whichever relay comes first."""

import asyncio
import re
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.common import MetricMeter
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from activities import outbox_relay
from activities.outbox_relay import BATCH, Handler, OutboxRelay
from contracts.outbox import OutboxRow
from database.engine import create_engine
from database.outbox import Outbox, put
from database.tables import outbox
from tests.shop import POLL_S, WITHIN_S
from tests.stack_session import bring_up, throw_away

KIND = "of_this_test"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A stack without a worker, whose relay would take part."""
    path = tmp_path_factory.mktemp("outbox") / "home"
    yield path
    throw_away(path)


@pytest.fixture(scope="module")
async def engine(home: Path) -> AsyncIterator[AsyncEngine]:
    url = bring_up(home, "--without", "worker", "--without", "api")["database_url"]
    engine = create_engine(url, connections=10, application_name="test")
    yield engine
    await engine.dispose()


@asynccontextmanager
async def relaying(
    engine: AsyncEngine, *handlers: Handler, meter: MetricMeter = MetricMeter.noop
) -> AsyncIterator[None]:
    """A relay for each of these handlers, all at work on the same outbox."""
    relays = [OutboxRelay(Outbox(engine), {KIND: handler}, meter) for handler in handlers]
    running = [asyncio.create_task(relay.run()) for relay in relays]
    try:
        async with asyncio.timeout(WITHIN_S):
            yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


async def write(engine: AsyncEngine, aggregate: str, *numbers: int) -> None:
    for number in numbers:
        async with engine.begin() as connection:
            await put(connection, aggregate=aggregate, kind=KIND, payload={"number": number})


async def until_empty(engine: AsyncEngine) -> None:
    while True:
        async with engine.connect() as connection:
            if not await connection.scalar(select(func.count()).select_from(outbox)):
                return
        await asyncio.sleep(POLL_S)


async def test_rows_of_an_aggregate_are_done_in_order_by_any_number_of_relays(engine: AsyncEngine) -> None:
    seen: dict[str, list[int]] = defaultdict(list)

    async def handle(row: OutboxRow) -> None:
        await asyncio.sleep(0)
        seen[row.aggregate].append(row.payload["number"])

    async with relaying(engine, handle, handle, handle):
        await asyncio.gather(*(write(engine, f"aggregate/{name}", *range(20)) for name in range(5)))
        await until_empty(engine)

    assert dict(seen) == {f"aggregate/{name}": list(range(20)) for name in range(5)}


async def test_a_row_that_cannot_be_done_holds_up_only_its_own_aggregate(engine: AsyncEngine) -> None:
    seen: list[tuple[str, int]] = []

    async def handle(row: OutboxRow) -> None:
        if row.aggregate == "aggregate/bad" and ("aggregate/good", 2) not in seen:
            raise RuntimeError("not yet")
        seen.append((row.aggregate, row.payload["number"]))

    await write(engine, "aggregate/bad", 1, 2)
    async with relaying(engine, handle):
        await write(engine, "aggregate/good", 1, 2)
        await until_empty(engine)

    assert seen == [("aggregate/good", 1), ("aggregate/good", 2), ("aggregate/bad", 1), ("aggregate/bad", 2)]


async def test_rows_that_hang_delay_no_others(engine: AsyncEngine) -> None:
    hanging, seen = asyncio.Event(), list[int]()

    async def handle(row: OutboxRow) -> None:
        if row.aggregate.startswith("aggregate/hangs"):
            await hanging.wait()
        seen.append(row.payload["number"])

    async with relaying(engine, handle):
        for number in range(3):
            await write(engine, f"aggregate/hangs/{number}", 1_000)
            await asyncio.sleep(0.2)  # each in a batch of its own
        async with asyncio.timeout(2):
            for number in range(20):
                await write(engine, f"aggregate/{number}", number)
                while number not in seen:
                    await asyncio.sleep(POLL_S)
        assert 1_000 not in seen
        hanging.set()
        await until_empty(engine)


async def test_many_rows_that_cannot_be_done_keep_none_from_its_turn(engine: AsyncEngine) -> None:
    failing, tries, seen = True, defaultdict[str, int](int), list[str]()

    async def handle(row: OutboxRow) -> None:
        tries[row.aggregate] += 1
        if failing and row.aggregate != "aggregate/late":
            raise RuntimeError("not yet")
        seen.append(row.aggregate)

    many = [f"aggregate/fails/{number}" for number in range(5 * BATCH)]
    for aggregate in many:
        await write(engine, aggregate, 1)
    async with relaying(engine, handle):
        await write(engine, "aggregate/late", 1)
        while "aggregate/late" not in seen or not all(tries[aggregate] >= 2 for aggregate in many):
            await asyncio.sleep(POLL_S)
        failing = False
        await until_empty(engine)

    assert len(seen) == len(set(seen)) == len(many) + 1


async def test_however_many_rows_hang_there_is_room_for_others(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_relay, "DONE_WITHIN_S", 5.0)
    tries, hanging, seen = defaultdict[str, int](int), asyncio.Event(), list[str]()

    async def handle(row: OutboxRow) -> None:
        tries[row.aggregate] += 1
        if row.aggregate.startswith("aggregate/hangs"):
            await hanging.wait()
        seen.append(row.aggregate)

    many = [f"aggregate/hangs/{number}" for number in range(5 * BATCH)]
    for aggregate in many:
        await write(engine, aggregate, 1)
    async with relaying(engine, handle):
        while sum(tries.values()) <= len(many):
            await asyncio.sleep(POLL_S)
        # All hang, and some for the second time.
        for number in range(5):
            await write(engine, f"aggregate/{number}", 1)
            async with asyncio.timeout(2):
                while f"aggregate/{number}" not in seen:
                    await asyncio.sleep(POLL_S)
            await asyncio.sleep(0.3)
        hanging.set()
        await until_empty(engine)


async def test_what_was_rolled_back_is_never_done(engine: AsyncEngine) -> None:
    seen: list[int] = []

    async def handle(row: OutboxRow) -> None:
        seen.append(row.payload["number"])

    async with engine.connect() as connection:
        await put(connection, aggregate="aggregate/undone", kind=KIND, payload={"number": 1})
        await connection.rollback()
    async with relaying(engine, handle):
        await write(engine, "aggregate/undone", 2)
        await until_empty(engine)

    assert seen == [2]


async def test_a_relay_that_ends_before_its_row_is_deleted_leaves_it_to_the_next(engine: AsyncEngine) -> None:
    begun, seen = asyncio.Event(), list[int]()

    async def never_ends(_: OutboxRow) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def handle(row: OutboxRow) -> None:
        seen.append(row.payload["number"])

    await write(engine, "aggregate/left", 7)
    async with relaying(engine, never_ends):
        await begun.wait()
    async with relaying(engine, handle):
        await until_empty(engine)

    assert seen == [7]


async def test_the_lag_is_exported_anew_while_rows_are_stuck(engine: AsyncEngine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    runtime = Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=address)))
    begun = asyncio.Event()

    async def exported(name: str) -> float:
        async with httpx.AsyncClient() as http:
            text = (await http.get(f"http://{address}/metrics")).text
        found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
        return float(found[0]) if found else 0.0

    async def never_ends(_: OutboxRow) -> None:
        begun.set()
        await asyncio.Event().wait()

    await write(engine, "aggregate/stuck", 1)
    async with relaying(engine, never_ends, meter=runtime.metric_meter):
        await begun.wait()
        while not 2 < await exported("followthrough_outbox_lag_seconds") < WITHIN_S:
            await asyncio.sleep(POLL_S)
        assert await exported("followthrough_outbox_rows") == 1

    async with engine.begin() as connection:
        await connection.execute(outbox.delete())


async def test_the_lag_is_the_age_of_the_oldest_row(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await put(connection, aggregate="aggregate/old", kind=KIND, payload={})
        await connection.execute(outbox.update().values(created_at=func.now() - func.make_interval(0, 0, 0, 0, 1)))

    lag = await Outbox(engine).lag()

    assert lag.rows == 1
    assert lag.seconds == pytest.approx(3_600, abs=60)
    async with engine.begin() as connection:
        await connection.execute(outbox.delete())
