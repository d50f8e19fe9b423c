"""What goes wrong is told in words: what failed, where the log is, what to do. Never a traceback."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.machine import require
from stack.temporal_build import PROGRAMS, pinned_binaries
from tests.integration.stack.conftest import WITHOUT_OURS, left_over
from tests.stack_session import clean_environment, followthrough

TERA = 10**15


def test_a_told_port_that_is_taken(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        failed = followthrough(
            "up", "--detach", "--home", str(home), *WITHOUT_OURS, FOLLOWTHROUGH_TEMPORAL_UI_PORT=str(port)
        )

    assert failed.returncode == 1
    assert f"port {port} for temporal_ui is in use" in failed.stderr
    assert f"pid {os.getpid()}" in failed.stderr
    assert "what to do: " in failed.stderr
    assert "FOLLOWTHROUGH_TEMPORAL_UI_PORT" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert left_over(home) == []


@pytest.mark.outage
def test_a_process_that_cannot_start(home: Path) -> None:
    (home / "sandbox" / "ledger.sqlite").mkdir(parents=True)
    (home / "logs").mkdir()

    failed = followthrough("up", "--detach", "--home", str(home), *WITHOUT_OURS)

    assert failed.returncode == 1
    assert "sandbox ends as soon as it is started" in failed.stderr
    assert f"log: {home / 'logs' / 'sandbox.log'}" in failed.stderr
    assert left_over(home) == []


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    failed = followthrough("up", "--home", str(tmp_path / "file" / "home"))

    assert failed.returncode == 1
    assert "what to do: choose a folder you can write to with --home" in failed.stderr


@pytest.mark.parametrize(("disk", "memory", "missing"), [(TERA, 0, "MB of disk"), (0, TERA, "MB of memory")])
def test_too_little_room(tmp_path: Path, disk: int, memory: int, missing: str) -> None:
    with pytest.raises(StackError) as refused:
        require(tmp_path / "not" / "made", disk=disk, memory=memory, purpose="building Temporal")

    assert missing in refused.value.what
    assert "what to do: " in refused.value.report()


def test_a_build_that_fails_says_where_its_log_is_and_can_be_repeated(tmp_path: Path) -> None:
    cache = _cache_with_go(tmp_path, "echo 'registry is away' >&2; exit 1")

    failed = _build(tmp_path)

    assert failed.returncode == 1
    assert "fetching Temporal's sources failed (exit code 1)" in failed.stderr
    assert "| registry is away" in failed.stderr
    assert f"log: {cache / 'temporal'}/build-" in failed.stderr
    assert "what to do: " in failed.stderr

    _cache_with_go(tmp_path, _FAKE_BUILD)
    assert _build(tmp_path).returncode == 0


def test_a_build_appears_complete_under_its_version_and_leaves_no_caches(tmp_path: Path) -> None:
    cache = _cache_with_go(tmp_path, _FAKE_BUILD)

    builds = [_start_build(tmp_path) for _ in range(2)]

    for build in builds:
        with build:
            build.communicate(timeout=30)
    assert [build.returncode for build in builds] == [0, 0]
    folder = cache / "temporal" / pinned_binaries().folder.name
    assert {path.name for path in folder.iterdir()} == set(PROGRAMS)
    assert [path.name for path in (cache / "temporal").iterdir() if path.is_dir()] == [folder.name]
    assert (cache / "built").read_text().split() == sorted(PROGRAMS)


# Writes down what it builds, and builds a script.
_FAKE_BUILD = """
if [ "$1" = build ]; then
  while [ "$1" != -o ]; do shift; done
  mkdir -p "$(dirname "$2")" && printf '#!/bin/sh\\necho 1.0\\n' > "$2" && chmod +x "$2"
  basename "$2" >> "$XDG_CACHE_HOME/followthrough/built"
fi
"""


def _cache_with_go(folder: Path, script: str) -> Path:
    """A cache folder with a toolchain that does what this script says."""
    cache = folder / "followthrough"
    pinned = (Path(__file__).parents[3] / "requirements" / "toolchain.in").read_text().strip().replace("-bin==", "-")
    program = cache / pinned / "lib" / "python3.11" / "site-packages" / "go" / "bin" / "go"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return cache


def _start_build(cache_home: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "stack.temporal_build"],
        env=clean_environment() | {"XDG_CACHE_HOME": str(cache_home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _build(cache_home: Path) -> "subprocess.CompletedProcess[str]":
    with _start_build(cache_home) as process:
        output, errors = process.communicate(timeout=30)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)
