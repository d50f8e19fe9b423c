"""Workers as processes of their own, started and killed by the tests."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from stack.home import Home
from tests.chaos.points import Point
from tests.stack_session import clean_environment

PROJECT = Path(__file__).parents[2]
READY_WITHIN_S = 30.0
DEAD_WITHIN_S = 30.0


class WorkerProcess:
    """One worker process; times are seconds since the epoch."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, started_at: float) -> None:
        self._process = process
        self._log = log
        self.started_at = started_at

    @property
    def pid(self) -> int:
        return self._process.pid

    def log_lines(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]

    async def ready_at(self) -> float:
        """When its log said that it polls."""
        async with asyncio.timeout(READY_WITHIN_S):
            while True:
                for line in self._log.read_text().splitlines():
                    if '"worker started"' in line:
                        return datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
                assert self._process.returncode is None, self._log.read_text()
                await asyncio.sleep(0.02)

    async def died_of_sigkill(self) -> bool:
        """Wait for its end."""
        async with asyncio.timeout(DEAD_WITHIN_S):
            return await self._process.wait() == -signal.SIGKILL

    async def stop(self) -> float:
        """SIGTERM, as every roll-out sends it. Returns how many seconds it took to end."""
        began = time.monotonic()
        self._process.terminate()
        async with asyncio.timeout(DEAD_WITHIN_S):
            await self._process.wait()
        return time.monotonic() - began

    async def kill(self) -> None:
        """SIGKILL, if it still runs."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


class Workers:
    """The workers of one test, and the APIs that it starts beside the home's own."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._started: list[WorkerProcess] = []

    async def start(self, *, queues: str | None = None, **variables: str) -> WorkerProcess:
        """The worker as it is run in production, for all queues or for these."""
        options = () if queues is None else ("--queues", queues)
        return await self._start(variables, "-m", "stack", "worker", "--home", str(self._home), *options)

    async def start_api(self, port: int, metrics_port: int, **variables: str) -> WorkerProcess:
        ports = {"FOLLOWTHROUGH_API_PORT": str(port), "FOLLOWTHROUGH_API_METRICS_PORT": str(metrics_port)}
        return await self._start({**ports, **variables}, "-m", "stack", "api", "--home", str(self._home))

    async def start_stopping(self, point: Point, orders: int, **variables: str) -> WorkerProcess:
        """A worker that kills itself once so many orders have reached the point."""
        command = ("-m", "tests.chaos.stopping_worker", str(self._home), point.work, point.moment, str(orders))
        return await self._start(variables, *command)

    async def start_stopping_at_the_end_of_a_job(self, moment: str) -> WorkerProcess:
        """A worker that kills itself before or after it has written down how a job's attempt ended."""
        return await self._start({}, "-m", "tests.chaos.stopping_job_worker", str(self._home), moment)

    async def start_holding_reports(self, parts: int) -> WorkerProcess:
        """A worker whose reports stand still once they have this many parts."""
        return await self._start({}, "-m", "tests.chaos.holding_report_worker", str(self._home), str(parts))

    async def start_module(self, module: str, **variables: str) -> WorkerProcess:
        """A worker that a test made another of; the module is told the home."""
        return await self._start(variables, "-m", module, str(self._home))

    async def end(self) -> None:
        for worker in self._started:
            await worker.kill()

    async def _start(self, variables: Mapping[str, str], *command: str) -> WorkerProcess:
        started_at = time.time()
        log = Home(self._home).log(f"chaos-worker-{started_at:.3f}")
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", *command),
                env={**clean_environment(), "PYTHONPATH": str(PROJECT), **variables},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._home,
            )
        self._started.append(WorkerProcess(process, log, started_at))
        return self._started[-1]
