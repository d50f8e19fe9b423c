"""A stack of a benchmark's own, and the workers it is compared with."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.service import GrpcCompression

# Under the limit of an ordinary home Temporal would do little but collect garbage, and one subject asks for everything.
ENVIRONMENT = {
    "GOMEMLIMIT": "2GiB",
    "FOLLOWTHROUGH_RATE_LIMIT_PER_SECOND": "100000",
    "FOLLOWTHROUGH_RATE_LIMIT_BURST": "100000",
}


@contextlib.contextmanager
def running_stack(*arguments: str, **variables: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A stack for the time of the benchmark, with these arguments of `up`: its home, and what `up --json` tells."""
    with tempfile.TemporaryDirectory(prefix="followthrough-bench-") as folder:
        home = Path(folder) / "home"
        try:
            yield home, up(home, *arguments, **variables)
        finally:
            down(home)


def up(home: Path, *arguments: str, **variables: str) -> dict[str, Any]:
    """Start the home's stack; what it tells of itself."""
    told = _followthrough("up", home, "--detach", "--json", *arguments, **variables)
    stack: dict[str, Any] = json.loads(told)
    return stack


def down(home: Path) -> None:
    _followthrough("down", home)


@contextlib.contextmanager
def floor_worker(stack: Mapping[str, Any], module: str) -> Iterator[int]:
    """The floor's worker; yields its pid once it polls."""
    command = [sys.executable, "-m", module, json.dumps(stack)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        if worker.stdout.readline() != "ready\n":
            raise SystemExit("the floor's worker did not start")
        yield worker.pid


async def connected(stack: Mapping[str, Any]) -> Client:
    """A client of its Temporal, as quick as ours."""
    return await Client.connect(
        stack["temporal_address"], namespace=stack["temporal_namespace"], grpc_compression=GrpcCompression.NONE
    )


def _followthrough(command: str, home: Path, *arguments: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "stack", command, "--home", str(home), *arguments],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        env={**os.environ, **ENVIRONMENT, **variables},
    )
    return done.stdout
