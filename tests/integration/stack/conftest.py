"""Homes for tests of the embedded stack itself; the worker and the API are left out where they don't matter."""

import inspect
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.stack_session import bring_up, throw_away

WITHOUT_OURS = ("--without", "worker", "--without", "api")
WITHIN_S = 20.0
POLL_S = 0.05


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home that is not there yet; whatever runs in it at the end is stopped and thrown away."""
    path = tmp_path / "home"
    yield path
    throw_away(path)


@pytest.fixture(scope="session")
def running_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a running stack that these tests share, and leave running."""
    path = tmp_path_factory.mktemp("shared") / "home"
    try:
        bring_up(path, *WITHOUT_OURS, PASSED_ON="to the processes")
        yield path
    finally:
        throw_away(path)


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds; fail when it does not within 20 s."""
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"did not come to hold within {WITHIN_S:.0f} s: {inspect.getsource(holds).strip()}")
        time.sleep(POLL_S)


def pids(status: dict[str, Any]) -> dict[str, int]:
    """The processes that run, by name."""
    return {name: process["pid"] for name, process in status["processes"].items() if process["pid"] is not None}


def left_over(home: Path) -> list[str]:
    """The command lines of whatever still runs for this home."""
    folders = (str(home), str((home / "postgres").resolve()))
    return [
        " ".join(process.info["cmdline"])
        for process in psutil.process_iter(["cmdline", "cwd", "status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE
        and any(folder in f"{process.info['cmdline']} {process.info['cwd']}" for folder in folders)
    ]
