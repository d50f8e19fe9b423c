"""`up` and `down`: in the foreground, detached, and on a home where another one runs."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence

import typer

from stack import own_processes
from stack.environment import TEMPORAL_ADDRESS, TEMPORAL_UI_URL
from stack.errors import StackError
from stack.home import Home
from stack.invitation import invitation
from stack.processes import ProcessId
from stack.status import look
from stack.temporal_build import ensure_binaries
from stack.up import Announce, Stack, end_leftovers

READY_WITHIN_S = 120.0
GONE_WITHIN_S = 90.0
CLEAN_UP_WITHIN_S = 60.0
POLL_S = 0.05


def run_in_foreground(home: Home, without: Sequence[str], *, as_json: bool) -> None:
    """Run until Ctrl-C. Says so, and returns, when this home's stack runs already."""
    _prepare(home)
    announce: Announce = _discard if as_json else typer.echo
    with home.locked(CLEAN_UP_WITHIN_S) as mine:
        if not mine:
            _wait_until_ready(home, announce)
            asyncio.run(_print_ready(home, as_json=as_json))
            return
        stack = Stack(home, os.environ, without, announce)
        stack.run(when_ready=lambda: _print_ready(home, as_json=as_json))
    if not as_json:
        typer.echo("stopped; `followthrough up` goes on with the same data")


def detach(home: Home, without: Sequence[str], *, as_json: bool) -> None:
    """Start `up` in a session of its own, and print where everything is once all is healthy."""
    start_detached(home, without, announce=_discard if as_json else typer.echo)
    asyncio.run(_print_ready(home, as_json=as_json))


def start_detached(home: Home, without: Sequence[str], announce: Announce = typer.echo) -> None:
    """Start `up` in a session of its own, and return once everything is healthy, also when it ran before."""
    _prepare(home)
    if home.owner() is not None:
        _wait_until_ready(home, announce)
        return
    reading, writing = os.pipe()
    command = [*own_processes.command("up", home), "--report-to", str(writing)]
    with home.log("up").open("ab") as log:
        process = subprocess.Popen(
            [*command, *(word for name in without for word in ("--without", name))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home.path,
            pass_fds=(writing,),
            start_new_session=True,
        )
    os.close(writing)
    try:
        _follow(process, reading, home, announce)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise


def supervise_detached(home: Home, without: Sequence[str], report_to: int) -> None:
    """The detached `up` itself: tells its starter, through a pipe, how it goes, until it is ready."""
    report = os.fdopen(report_to, "w")

    def tell(**event: object) -> None:
        # The starter may have gone; that is no reason to stop.
        with contextlib.suppress(OSError, ValueError):
            report.write(json.dumps(event) + "\n")
            report.flush()

    async def ready() -> None:
        tell(ready=True)
        with contextlib.suppress(OSError):
            report.close()

    try:
        with home.locked(CLEAN_UP_WITHIN_S) as mine:
            if not mine:
                tell(running=True)
                return
            Stack(home, os.environ, without, announce=lambda line: tell(line=line)).run(when_ready=ready)
    except StackError as error:
        tell(error=error.report())
        raise


def take_down(home: Home) -> None:
    """Stop this home's stack, or what a killed `up` has left of it."""
    if not home.path.exists():
        typer.echo(f"nothing runs in {home.path}")
        return
    deadline = time.monotonic() + GONE_WITHIN_S
    asked: ProcessId | None = None
    while True:
        with home.locked() as mine:
            if mine:
                asyncio.run(end_leftovers(home))
                break
        owner = home.owner()
        if owner is not None and owner != asked:
            owner.send(signal.SIGTERM)
            asked = owner
        if time.monotonic() > deadline:
            raise StackError(
                f"the stack in {home.path} did not stop within {GONE_WITHIN_S:.0f} s",
                log=home.log("up"),
                remedy="see `followthrough status`, end the processes it shows, and run `followthrough down` again",
            )
        time.sleep(POLL_S)
    typer.echo("stopped; `followthrough up` goes on with the same data")


def _prepare(home: Home) -> None:
    home.create()
    if not (TEMPORAL_ADDRESS in os.environ and TEMPORAL_UI_URL in os.environ):
        # Before anything detaches, so that the progress of a build is seen.
        ensure_binaries()


def _follow(process: "subprocess.Popen[bytes]", reading: int, home: Home, announce: Announce) -> None:
    with os.fdopen(reading) as events:
        for text in events:
            event = json.loads(text)
            if "line" in event:
                announce(event["line"])
            elif "ready" in event:
                return
            elif "running" in event:
                process.wait()
                _wait_until_ready(home, announce)
                return
            elif "error" in event:
                process.wait()
                typer.echo(event["error"], err=True)
                raise typer.Exit(1)
    raise StackError(
        f"`up` ended before everything was ready (exit code {process.wait()})",
        log=home.log("up"),
        remedy="see the log, then run `followthrough up` again",
    )


def _wait_until_ready(home: Home, announce: Announce) -> None:
    """Another `up` has this home: wait until it is ready."""
    deadline = time.monotonic() + READY_WITHIN_S
    while home.state().phase != "ready" or home.owner() is None:
        if time.monotonic() > deadline:
            raise StackError(
                f"another `up` holds {home.path} and does not become ready",
                log=home.log("up"),
                remedy="see `followthrough status`; `followthrough down` stops it",
            )
        time.sleep(POLL_S)
    owner = home.owner()
    if owner is not None:
        announce(f"already running in {home.path} (pid {owner.pid})")


async def _print_ready(home: Home, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps((await look(home)).as_json(), indent=2))
    else:
        typer.echo(invitation(home, home.state()))


def _discard(_line: str) -> None:
    """Where only JSON is wanted, how it goes is not told."""
