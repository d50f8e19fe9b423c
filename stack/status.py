"""What runs, whether it works, and what it uses, found out anew each time: also while any part is dead."""

import asyncio
from collections.abc import Awaitable
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from stack import web
from stack.home import PROCESS_NAMES, Home, State
from stack.machine import MB
from stack.own_processes import api_is_ready, worker_works
from stack.postgres import administrative_url, answers_queries
from stack.processes import ProcessId, memory_bytes
from stack.temporal_server import server_works

PROBE_WITHIN_S = 5.0


@dataclass(frozen=True)
class ProcessStatus:
    """One process; memory in bytes, its children included."""

    pid: int | None
    healthy: bool
    state: str
    restarts: int
    rss: int
    pss: int


@dataclass(frozen=True)
class Status:
    """What `status --json` prints."""

    home: str
    phase: str
    supervisor: ProcessStatus | None
    api_url: str | None
    temporal_address: str | None
    temporal_namespace: str | None
    temporal_ui_url: str | None
    database_url: str | None
    sandbox_url: str | None
    smtp_address: str | None
    metrics: dict[str, str]
    processes: dict[str, ProcessStatus]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


async def look(home: Home) -> Status:
    """Ask every part at once; each answers within five seconds or counts as unhealthy."""
    state = home.state()
    owner = home.owner()
    processes = await asyncio.gather(*(_process_status(name, home, state) for name in PROCESS_NAMES))
    return Status(
        home=state.home,
        phase=state.phase if owner is not None else "stopped",
        supervisor=None if owner is None else _supervisor_status(owner),
        api_url=state.api_url,
        temporal_address=state.temporal_address,
        temporal_namespace=state.temporal_namespace,
        temporal_ui_url=state.temporal_ui_url,
        database_url=state.database_url,
        sandbox_url=state.sandbox_url,
        smtp_address=state.smtp_address,
        metrics=state.metrics,
        processes=dict(zip(PROCESS_NAMES, processes, strict=True)),
    )


def _supervisor_status(owner: ProcessId) -> ProcessStatus:
    rss, pss = memory_bytes(owner.pid, with_children=False)
    return ProcessStatus(owner.pid, healthy=True, state="running", restarts=0, rss=rss, pss=pss)


async def _process_status(name: str, home: Home, state: State) -> ProcessStatus:
    process = state.processes.get(name)
    restarts = state.restarts.get(name, 0)
    if name in state.absent:
        return ProcessStatus(None, healthy=False, state=state.absent[name], restarts=0, rss=0, pss=0)
    if process is None or not process.is_alive():
        return ProcessStatus(None, healthy=False, state="stopped", restarts=restarts, rss=0, pss=0)
    try:
        async with asyncio.timeout(PROBE_WITHIN_S):
            healthy = await _works(name, home, state, process)
    except TimeoutError:
        healthy = False
    rss, pss = await asyncio.to_thread(memory_bytes, process.pid)
    return ProcessStatus(
        process.pid, healthy, state="running" if healthy else "not answering", restarts=restarts, rss=rss, pss=pss
    )


def _works(name: str, home: Home, state: State, process: ProcessId) -> Awaitable[bool]:
    match name:
        case "postgres":
            return answers_queries(administrative_url(home.secrets(), state.ports["postgres"]))
        case "temporal":
            return server_works(str(state.temporal_http_url))
        case "temporal-ui":
            return web.is_ok(f"{state.temporal_ui_url}/healthz")
        case "sandbox":
            return web.is_ok(f"{state.sandbox_url}/healthz")
        case "worker":
            return worker_works(state, process)
        case _:
            return api_is_ready(state)


def print_table(status: Status) -> None:
    """One screen for people."""
    console = Console(highlight=False)
    console.print(f"home {status.home}: {status.phase}", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for column in ("process", "pid", "state", "restarts", "RSS MB", "PSS MB"):
        table.add_column(column, justify="left" if column in ("process", "state") else "right")
    rows = {**status.processes, **({"up itself": status.supervisor} if status.supervisor else {})}
    for name, process in rows.items():
        memory = (f"{process.rss / MB:.0f}", f"{process.pss / MB:.0f}")
        table.add_row(name, str(process.pid or "-"), process.state, str(process.restarts), *memory)
    rss, pss = (sum(getattr(process, kind) for process in rows.values()) / MB for kind in ("rss", "pss"))
    table.add_row("total", "", "", "", f"{rss:.0f}", f"{pss:.0f}")
    console.print(table)
    for label, url in _urls(status):
        console.print(f"{label:<12} {url}", soft_wrap=True)


def _urls(status: Status) -> list[tuple[str, str]]:
    named = {
        "API": status.api_url,
        "API docs": status.api_url and f"{status.api_url}/docs",
        "Web UI": status.temporal_ui_url,
        "Temporal": status.temporal_address,
        "sandbox": status.sandbox_url,
    }
    return [(label, url) for label, url in named.items() if url]
