"""A stack that stops, or is made to: nothing is left running, nothing is lost."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from stack.home import Home
from stack.processes import ProcessId
from tests.integration.stack.conftest import WITHOUT_OURS, eventually, left_over, pids
from tests.stack_session import FOLLOWTHROUGH, bring_up, clean_environment, followthrough, status, throw_away

pytestmark = pytest.mark.outage


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One home for all of these, stopped after each: it comes up in half the time of a fresh one."""
    path = tmp_path_factory.mktemp("stopped") / "home"
    yield path
    throw_away(path)


@pytest.fixture(autouse=True)
def stopped_afterwards(home: Path) -> Iterator[None]:
    """Each test begins with nothing running."""
    yield
    followthrough("down", "--home", str(home))


def test_down_where_nothing_runs_is_no_error(home: Path) -> None:
    assert followthrough("down", "--home", str(home)).returncode == 0
    assert not home.exists()


@pytest.mark.parametrize("begun", ["postgres", "temporal"])
def test_ctrl_c_while_it_starts_leaves_nothing(home: Path, begun: str) -> None:
    with _up_in_foreground(home) as process:
        eventually(lambda: begun in Home(home).state().processes)

        process.send_signal(signal.SIGINT)

        process.communicate()
        assert process.returncode == 0
    assert left_over(home) == []


async def test_data_and_addresses_survive_a_stop(home: Path) -> None:
    before = bring_up(home, *WITHOUT_OURS)
    await _execute(before["database_url"], "CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS answer")

    assert followthrough("down", "--home", str(home)).returncode == 0
    assert left_over(home) == []
    after = bring_up(home, *WITHOUT_OURS)

    assert await _execute(after["database_url"], "SELECT answer FROM kept") == 42
    assert after["temporal_address"] == before["temporal_address"]
    assert after["temporal_ui_url"] == before["temporal_ui_url"]


async def test_up_and_down_clean_up_after_an_up_that_was_killed(home: Path) -> None:
    first = bring_up(home, *WITHOUT_OURS)
    await _execute(first["database_url"], "CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS answer")
    _kill_up(home)
    orphans = status(home)
    assert orphans["supervisor"] is None
    assert pids(orphans) == pids(first)

    second = bring_up(home, *WITHOUT_OURS)

    assert not set(pids(first).values()) & set(pids(second).values())
    assert not [pid for pid in pids(first).values() if ProcessId.of(pid)]
    assert await _execute(second["database_url"], "SELECT answer FROM kept") == 42

    _kill_up(home)
    os.kill(pids(second)["sandbox"], signal.SIGKILL)
    _forget_processes(home)
    assert followthrough("down", "--home", str(home)).returncode == 0
    assert left_over(home) == []


def test_sigterm_stops_everything_in_the_foreground(home: Path) -> None:
    with _up_in_foreground(home) as process:
        lines = iter(process.stdout or ())
        assert any("stop with" in line for line in lines)

        process.send_signal(signal.SIGTERM)

        assert "stopped" in "".join(lines)
        assert process.wait() == 0
    assert left_over(home) == []


def test_a_detached_up_holds_none_of_the_callers_streams(home: Path) -> None:
    reading, writing = os.pipe()
    with open(writing, "wb") as stream:
        subprocess.run(
            [*FOLLOWTHROUGH, "up", "--detach", "--home", str(home), *WITHOUT_OURS],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            check=True,
        )
    with open(reading, "rb") as stream:
        # The end of the stream comes only when nobody holds its other end any more.
        assert b"stop with" in stream.read()
    assert status(home)["phase"] == "ready"


def _kill_up(home: Path) -> None:
    supervisor = Home(home).owner()
    assert supervisor is not None
    supervisor.send(signal.SIGKILL)
    eventually(lambda: not supervisor.is_alive())


def _forget_processes(home: Path) -> None:
    """As if `up` had been killed after it started them and before it wrote that down."""
    state = Home(home).state()
    state.processes = {}
    Home(home).write_state(state)


def _up_in_foreground(home: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*FOLLOWTHROUGH, "up", "--home", str(home), *WITHOUT_OURS],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


async def _execute(database_url: str, statement: str) -> object:
    connection = await asyncpg.connect(database_url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()
