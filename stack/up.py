"""Brings a stack up, keeps it up, and takes it down again."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Collection, Mapping

import asyncpg

from stack import own_processes
from stack.environment import ENCRYPT_PAYLOADS, HOME_MARK, PAYLOAD_KEYS, as_owner, supervised
from stack.errors import StackError
from stack.home import Home
from stack.machine import MB, require
from stack.one_off import run_to_end
from stack.plan import absent_processes, lay_out
from stack.ports import PortReservations
from stack.postgres import Postgres, server_of
from stack.processes import ProcessId, end, marked_processes
from stack.supervisor import Service, Supervisor, stop_in_order
from stack.temporal_build import ensure_binaries
from stack.temporal_server import TemporalServer
from stack.temporal_ui import TemporalUi
from stack.tokens import ensure_signing_key

HOME_DISK = 500 * MB
STACK_MEMORY = 500 * MB

Announce = Callable[[str], None]


class Stack:
    """One stack in one home, for as long as this object's `run` lasts."""

    def __init__(
        self, home: Home, environment: Mapping[str, str], without: Collection[str], announce: Announce
    ) -> None:
        self.home = home
        self.environment = environment
        self.without = without
        self.announce = announce
        self.held = PortReservations()

    def run(self, when_ready: Callable[[], Awaitable[None]]) -> None:
        """Run until SIGINT, SIGTERM or SIGHUP. The caller holds the home's lock.

        Raises StackError when it does not come up; nothing is left running then.
        """
        require(self.home.path, disk=HOME_DISK, memory=STACK_MEMORY, purpose="the stack")
        try:
            asyncio.run(self._run(when_ready))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StackError(
                f"the stack cannot run: {error or type(error).__name__}",
                log=self.home.log("postgres"),
                remedy="see the logs beside this one, and `followthrough doctor`; then run `followthrough up` again",
            ) from error

    async def _run(self, when_ready: Callable[[], Awaitable[None]]) -> None:
        await end_leftovers(self.home)
        self.supervisor = Supervisor(self.home)
        self.state = self.supervisor.state
        told_to_stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, told_to_stop.set)
        coming_up = asyncio.create_task(self._come_up())
        stopping = asyncio.create_task(told_to_stop.wait())
        try:
            await asyncio.wait((coming_up, stopping), return_when=asyncio.FIRST_COMPLETED)
            if coming_up.done():
                coming_up.result()
                self._enter("ready")
                await when_ready()
                await stopping
        finally:
            coming_up.cancel()
            stopping.cancel()
            await asyncio.gather(coming_up, stopping, return_exceptions=True)
            await self._go_down()

    def _enter(self, phase: str) -> None:
        self.state.phase = phase
        self.supervisor.write_state()

    async def _go_down(self) -> None:
        self._enter("stopping")
        await self.supervisor.stop()
        self.held.release()
        self.state.supervisor = None
        self._enter("stopped")

    async def _come_up(self) -> None:
        self.state.supervisor = ProcessId.of(os.getpid())
        absent = absent_processes(self.environment, self.without)
        lay_out(self.state, self.environment, absent, self.held)
        ensure_signing_key(self.home)
        if self.environment.get(ENCRYPT_PAYLOADS, "").lower() in ("true", "1"):
            self.home.encrypt_payloads()
        postgres = None if "postgres" in absent else Postgres.of(self.home, self.state.ports["postgres"])
        if self.state.database_url is None and postgres is not None:
            self.state.database_url = postgres.database_url
            self.state.app_database_url = postgres.app_database_url
        self._enter("starting")
        try:
            await self._start_parts(postgres)
        except BaseExceptionGroup as group:
            raise _first_of(group) from None

    async def _start_parts(self, postgres: Postgres | None) -> None:
        """Each part as soon as what it needs is ready."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._start_independent_parts())
            if postgres is not None:
                await self._start_postgres(postgres)
            parts.create_task(self._migrate())
            if postgres is not None and "temporal" not in self.state.absent:
                parts.create_task(self._start_temporal(postgres))
        async with asyncio.TaskGroup() as parts:
            for name, service in (("worker", own_processes.worker), ("api", own_processes.api)):
                if name not in self.state.absent:
                    parts.create_task(self._start(service(self.home, self.state, self.environment)))

    async def _start(self, service: Service) -> None:
        seconds = await self.supervisor.start(service)
        self.announce(f"{service.name:<12} ready after {seconds:.1f} s")

    async def _start_independent_parts(self) -> None:
        async with asyncio.TaskGroup() as group:
            if "sandbox" not in self.state.absent:
                group.create_task(self._start(own_processes.sandbox(self.home, self.state, self.environment)))
            if "temporal-ui" not in self.state.absent:
                group.create_task(self._start(self._temporal_ui().service(self.environment)))

    def _temporal_ui(self) -> TemporalUi:
        return TemporalUi(
            binaries=ensure_binaries(),
            home=self.home,
            port=self.state.ports["temporal_ui"],
            temporal_address=str(self.state.temporal_address),
            namespace=str(self.state.temporal_namespace),
            codec_url=self._codec_url(),
        )

    def _codec_url(self) -> str | None:
        """Where the Web UI has encrypted payloads decrypted: by our API, for operators who are signed in there."""
        encrypts = PAYLOAD_KEYS in supervised(self.home, self.state, self.environment)
        return f"{self.state.api_url}/codec" if encrypts and self.state.api_url is not None else None

    async def _start_postgres(self, postgres: Postgres) -> None:
        await postgres.initialize()
        await self._start(postgres.service())
        await postgres.create_roles_and_database()

    async def _start_temporal(self, postgres: Postgres) -> None:
        server = TemporalServer(ensure_binaries(), postgres, self.state.ports, self.home)
        await server.create_schema()
        await self._start(server.service(self.environment))

    async def _migrate(self) -> None:
        """In a process of its own: what it loads would otherwise stay in ours, and it loads while Temporal starts."""
        began = time.monotonic()
        log_path = self.home.log("migrate")
        code = await run_to_end(
            own_processes.command("migrate", self.home)
            + ([] if "postgres" in self.state.absent else ["--sample-goods"]),
            environment=supervised(self.home, self.state, self.environment) | as_owner(self.state, self.environment),
            folder=self.home.path,
            log=log_path,
        )
        if code:
            raise StackError(
                f"the database or Temporal could not be migrated (exit code {code})",
                log=log_path,
                remedy="see the log; then run `followthrough up` again",
            )
        self.announce(f"{'migrate':<12} done after {time.monotonic() - began:.1f} s")


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of the parts that start side by side one failed and the others were cancelled: the one is to be told."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def end_leftovers(home: Home) -> None:
    """End what a killed `up` left behind. The caller holds the home's lock, so nobody else runs here."""
    state = home.state()
    left = {name: process for name, process in state.processes.items() if process.is_alive()}
    await stop_in_order({name: process for name, process in left.items() if name != "postgres"})
    unrecorded = [process for process in marked_processes(HOME_MARK, str(home.path)) if process.pid != os.getpid()]
    await asyncio.gather(*(end(process, signal.SIGTERM, 5.0) for process in unrecorded))
    postgres = server_of(home.postgres / "data")
    if postgres is not None:
        await stop_in_order({"postgres": postgres})
    state.processes = {}
    state.supervisor = None
    state.phase = "stopped"
    home.write_state(state)
