"""Starts processes, notices when one dies, starts it again, and stops them in order."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError
from stack.home import Home
from stack.processes import ProcessId, end
from stack.unprivileged import RunAs

RESTART_DELAYS_S = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
STEADY_AFTER_S = 10.0
READY_WITHIN_S = 90.0
DEATHS_BEFORE_GIVING_UP = 3
# More than the 10 s a worker gives its running activities.
STOP_PATIENCE_S = 15.0
PROBE_EVERY_S = 0.05
LOG_LIMIT_BYTES = 20_000_000
LOG_CHECK_EVERY_S = 10.0
# Who must be gone before the next may be stopped: those that use a part go before it.
STOP_ORDER = (("api", "worker"), ("sandbox", "temporal-ui"), ("temporal",), ("postgres",))


@dataclass(frozen=True)
class Service:
    """One process to keep alive."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    probe: Callable[[ProcessId], Awaitable[bool]]
    """Whether this very process does its work now; never raises for a process that is not ready."""
    user: RunAs | None = None
    before_start: Callable[[], Awaitable[None]] | None = None
    """Runs before each start; when it raises OSError that start counts as failed."""
    restart_delays_s: Sequence[float] = RESTART_DELAYS_S


class RestartDelays:
    """How long to wait before each restart of one process."""

    def __init__(self, delays_s: Sequence[float]) -> None:
        self._delays_s = delays_s
        self._deaths = 0

    def after(self, alive_s: float) -> float:
        """The wait, in seconds, after a death; counted afresh for a process that had settled."""
        if alive_s >= STEADY_AFTER_S:
            self._deaths = 0
        self._deaths += 1
        return self._delays_s[min(self._deaths, len(self._delays_s)) - 1]


class Supervisor:
    """Keeps the processes of one home alive and its state.json true.

    Children do not die with us (no PR_SET_PDEATHSIG): when `up` is killed, orders in flight go on, and the next `up`
    or `down` ends what is left, in order, which a simultaneous kill -9 of all would not.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self.state = home.state()
        self.state.processes = {}
        self.state.restarts = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._deaths: dict[str, int] = {}
        self._log_task: asyncio.Task[None] | None = None
        # asyncio kills a child whose handle is collected, and the handles of cancelled keepers would be.
        self._handles: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, service: Service) -> float:
        """Start a process and wait until its probe says it works. Returns the seconds that took.

        Raises StackError when it keeps dying or does not become ready in time.
        """
        began = time.monotonic()
        self._log_task = self._log_task or asyncio.create_task(self._bound_logs())
        self._keepers[service.name] = asyncio.create_task(self._keep_alive(service))
        while not await self._is_ready(service):
            if self._deaths.get(service.name, 0) >= self._deaths_allowed(service):
                raise self._failure(service, "ends as soon as it is started")
            if time.monotonic() - began > READY_WITHIN_S:
                raise self._failure(service, f"was not ready within {READY_WITHIN_S:.0f} s")
            await asyncio.sleep(PROBE_EVERY_S)
        return time.monotonic() - began

    async def stop(self) -> None:
        """Stop everything, those first that use others."""
        for keeper in (*self._keepers.values(), *([self._log_task] if self._log_task else [])):
            keeper.cancel()
        await asyncio.gather(*self._keepers.values(), return_exceptions=True)
        await stop_in_order(self.state.processes)
        self.state.processes = {}

    def write_state(self) -> None:
        self.home.write_state(self.state)

    async def _is_ready(self, service: Service) -> bool:
        process = self.state.processes.get(service.name)
        return process is not None and process.is_alive() and await service.probe(process)

    def _deaths_allowed(self, service: Service) -> int:
        quick = sum(1 for delay in service.restart_delays_s if delay < 1.0)
        return DEATHS_BEFORE_GIVING_UP + quick - 1

    def _failure(self, service: Service, how: str) -> StackError:
        return StackError(
            f"{service.name} {how}",
            log=self.home.log(service.name),
            remedy="see the log; then run `followthrough up` again (`followthrough doctor` shows what is missing)",
        )

    async def _keep_alive(self, service: Service) -> None:
        delays = RestartDelays(service.restart_delays_s)
        while True:
            began = time.monotonic()
            try:
                await self._run_once(service)
            except OSError as error:
                self._log_failed_start(service, error)
            self._deaths[service.name] = self._deaths.get(service.name, 0) + 1
            delay = delays.after(time.monotonic() - began)
            self.state.restarts[service.name] = self.state.restarts.get(service.name, 0) + 1
            await asyncio.sleep(delay)

    async def _run_once(self, service: Service) -> None:
        if service.before_start is not None:
            await service.before_start()
        process = await self._spawn(service)
        await process.wait()

    async def _spawn(self, service: Service) -> asyncio.subprocess.Process:
        with self.home.log(service.name).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *service.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=service.folder,
                env=dict(service.environment),
                # Ctrl-C in a terminal reaches us alone; we stop the others in order.
                start_new_session=True,
                user=None if service.user is None else service.user.uid,
                group=None if service.user is None else service.user.gid,
                extra_groups=None if service.user is None else [],
            )
        self._handles[service.name] = process
        identity = ProcessId.of(process.pid)
        if identity is not None:
            self.state.processes[service.name] = identity
            # A full disk is no reason to lose sight of a process that runs.
            with contextlib.suppress(OSError):
                self.write_state()
        return process

    def _log_failed_start(self, service: Service, error: OSError) -> None:
        with contextlib.suppress(OSError), self.home.log(service.name).open("a") as log:
            log.write(f"followthrough: {service.name} cannot be started: {error}\n")

    async def _bound_logs(self) -> None:
        """Move a log's text aside at a set size; its writer appends, and goes on at the start."""
        while True:
            await asyncio.sleep(LOG_CHECK_EVERY_S)
            with contextlib.suppress(OSError):
                for log in self.home.logs.glob("*.log"):
                    if log.stat().st_size > LOG_LIMIT_BYTES:
                        await asyncio.to_thread(_move_aside, log)


def _move_aside(log: Path) -> None:
    with log.open("rb+") as current, log.with_suffix(".log.1").open("wb") as older:
        while chunk := current.read(1 << 20):
            older.write(chunk)
        current.truncate(0)


async def stop_in_order(processes: Mapping[str, ProcessId]) -> None:
    """Stop processes by name, those first that use others; whatever does not listen is killed."""
    for names in STOP_ORDER:
        await asyncio.gather(
            *(
                # SIGTERM would make Postgres wait for its clients to leave.
                end(processes[name], signal.SIGINT if name == "postgres" else signal.SIGTERM, STOP_PATIENCE_S)
                for name in names
                if name in processes
            )
        )
