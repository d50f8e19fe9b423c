"""A stack that runs: what dies comes back where it was, and what asks is answered."""

import os
import pwd
import signal
from pathlib import Path

import psutil
import pytest

from stack.home import Home
from tests.integration.stack.conftest import WITHOUT_OURS, eventually, pids
from tests.stack_session import bring_up, followthrough, status

EMBEDDED = ("postgres", "temporal", "temporal-ui", "sandbox")


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_killed_process_is_started_again_on_its_port(running_home: Path, name: str) -> None:
    before = status(running_home)
    ports = Home(running_home).state().ports

    os.kill(before["processes"][name]["pid"], signal.SIGKILL)

    def is_back() -> bool:
        process = status(running_home)["processes"][name]
        return bool(process["healthy"]) and process["pid"] != before["processes"][name]["pid"]

    eventually(is_back)
    after = status(running_home)
    assert Home(running_home).state().ports == ports
    restarts = after["processes"][name]["restarts"] - before["processes"][name]["restarts"]
    # Postgres does not start before the last backend of the killed one is gone.
    assert restarts == 1 or (name == "postgres" and restarts > 1)
    addresses = [key for key in before if key.endswith(("_url", "_address"))]
    assert [after[key] for key in addresses] == [before[key] for key in addresses]


def test_status_reports_a_part_that_hangs_and_the_others_beside_it(running_home: Path) -> None:
    hanging = status(running_home)["processes"]["temporal-ui"]["pid"]
    os.kill(hanging, signal.SIGSTOP)
    try:
        found = status(running_home)["processes"]
    finally:
        os.kill(hanging, signal.SIGCONT)

    assert found["temporal-ui"]["pid"] == hanging
    assert not found["temporal-ui"]["healthy"]
    assert all(found[name]["healthy"] for name in EMBEDDED if name != "temporal-ui")


def test_status_shows_the_memory_of_each_process(running_home: Path) -> None:
    processes = status(running_home)["processes"]

    assert all(0 < processes[name]["pss"] <= processes[name]["rss"] for name in EMBEDDED)
    table = followthrough("status", "--home", str(running_home)).stdout
    assert "total" in table
    assert "PSS MB" in table


def test_each_pid_is_the_process_itself(running_home: Path) -> None:
    found = {name: psutil.Process(pid).cmdline() for name, pid in pids(status(running_home)).items()}

    assert found["postgres"][0].endswith("/postgres")
    assert found["temporal"][0].endswith("/temporal-server")
    assert found["temporal-ui"][0].endswith("/temporal-ui-server")
    assert found["sandbox"][1:4] == ["-P", "-m", "sandbox"]


def test_processes_get_the_environment_of_the_caller(running_home: Path) -> None:
    sandbox = psutil.Process(pids(status(running_home))["sandbox"])

    assert sandbox.environ()["PASSED_ON"] == "to the processes"


def test_up_on_a_running_home_says_so_and_changes_nothing(running_home: Path) -> None:
    before = pids(status(running_home))

    again = followthrough("up", "--home", str(running_home))

    assert again.returncode == 0
    assert f"already running in {running_home}" in again.stdout
    assert pids(status(running_home)) == before
    assert pids(bring_up(running_home)) == before


def test_secrets_are_for_the_owner_alone(running_home: Path) -> None:
    for name in ("state.json", "secrets.json", "signing-key.pem"):
        assert (running_home / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.outage
def test_a_second_home_runs_beside_the_first(running_home: Path, home: Path) -> None:
    second = bring_up(home, *WITHOUT_OURS)
    first = status(running_home)

    assert not set(Home(home).state().ports.values()) & set(Home(running_home).state().ports.values())
    assert all(found["processes"][name]["healthy"] for found in (first, second) for name in EMBEDDED)


def test_what_the_caller_brings_along_is_not_started(running_home: Path, home: Path) -> None:
    there = status(running_home)

    found = bring_up(
        home, *WITHOUT_OURS, DATABASE_URL=there["database_url"], TEMPORAL_ADDRESS=there["temporal_address"]
    )

    assert set(pids(found)) == {"temporal-ui", "sandbox"}
    assert found["database_url"] == there["database_url"]
    assert found["temporal_address"] == there["temporal_address"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder that Postgres's user cannot enter")
def test_as_root_postgres_runs_as_another_user_also_where_that_user_cannot_enter(running_home: Path) -> None:
    assert running_home.parent.parent.stat().st_mode & 0o077 == 0

    postgres = psutil.Process(pids(status(running_home))["postgres"])

    assert postgres.uids().effective == pwd.getpwnam("nobody").pw_uid
    assert (running_home / "postgres").is_symlink()
