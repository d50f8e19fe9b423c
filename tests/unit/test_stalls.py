"""A blocked event loop is noticed by what it says in the log, and a busy or idle one says nothing."""

import json
import subprocess
import sys
import textwrap
from typing import Any

Line = dict[str, Any]


def lines_of(script: str) -> list[Line]:
    """What a process of its own logs, whose coroutine `main` is this."""
    program = "\n".join(
        [
            "import asyncio, time, uvloop, stalls",
            "from logs import configure_logging",
            "def blocks(seconds): time.sleep(seconds)",
            "async def main():",
            "    with stalls.noticed(0.2):",
            textwrap.indent(textwrap.dedent(script).strip(), " " * 8),
            "configure_logging('test')",
            "uvloop.run(main())",
        ]
    )
    return logged_by(program)


def logged_by(program: str) -> list[Line]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_blocks_the_event_loop_is_logged_once_with_its_stack_and_then_for_how_long() -> None:
    begun, ended = lines_of(
        """
        await asyncio.sleep(0.1)
        blocks(2)
        await asyncio.sleep(0.5)
        """
    )

    assert (begun["event"], begun["level"], begun["process"]) == ("the event loop is blocked", "warning", "test")
    assert "in blocks" in begun["stack"]
    assert ended["event"] == "the event loop was blocked"
    assert 1 < ended["blocked_s"] < 10


def test_c_code_that_lets_nobody_else_run_is_told_of_afterwards_with_its_stack() -> None:
    [told] = lines_of(
        """
        await asyncio.sleep(0.5)
        sum(range(120_000_000))
        await asyncio.sleep(0.5)
        """
    )

    assert told["event"] == "the event loop was blocked"
    assert "in main" in told["stack"]
    assert 0.2 < told["blocked_s"] < 60


def test_each_block_is_told_of() -> None:
    found = lines_of(
        """
        for _ in range(2):
            blocks(1)
            await asyncio.sleep(0.5)
        """
    )

    assert len([line for line in found if line["event"] == "the event loop is blocked"]) == 2


def test_a_loop_that_waits_or_has_much_to_do_is_not_blocked() -> None:
    found = lines_of(
        """
        await asyncio.sleep(1)
        until = time.monotonic() + 1
        while time.monotonic() < until:
            blocks(0.01)
            await asyncio.sleep(0)
        """
    )

    assert found == []


def test_a_process_that_was_stopped_did_not_block() -> None:
    found = lines_of(
        """
        import os, signal, subprocess
        subprocess.Popen(["sh", "-c", f"sleep 0.1; kill -STOP {os.getpid()}; sleep 1.5; kill -CONT {os.getpid()}"])
        await asyncio.sleep(2)
        """
    )

    assert found == []


def test_the_api_watches_its_event_loop_and_counts_what_blocks_it() -> None:
    found = logged_by(
        """
import asyncio, json, pathlib, time, uvloop
from prometheus_client import REGISTRY
from tests.unit.api.conftest import running_app

def blocks(seconds): time.sleep(seconds)

async def main():
    async with running_app(pathlib.Path("/nowhere"), FOLLOWTHROUGH_EVENT_LOOP_BLOCKED_AFTER_S="0.2"):
        await asyncio.sleep(0.1)
        blocks(1.5)
        while not REGISTRY.get_sample_value("followthrough_event_loop_blocks_total"):
            await asyncio.sleep(0.01)
        print(json.dumps({"event": "counted", "seconds": REGISTRY.get_sample_value(SECONDS)}))

SECONDS = "followthrough_event_loop_blocked_seconds_sum"
uvloop.run(main())
"""
    )

    told = [line for line in found if line["event"] == "the event loop is blocked"]
    assert [(line["process"], "in blocks" in line["stack"]) for line in told] == [("api", True)]
    [counted] = [line for line in found if line["event"] == "counted"]
    assert 1 < counted["seconds"] < 10
