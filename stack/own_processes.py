"""The processes that are this project's own: the sandbox, the worker and the API."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import psutil

from contracts.queues import ORDERS
from stack import web
from stack.environment import supervised
from stack.home import Home, State
from stack.processes import ProcessId
from stack.supervisor import Service
from stack.temporal_server import has_poller

# Not the current folder: a file called worker.py or settings.py in it would be taken for ours.
PYTHON = (sys.executable, "-P")
# A poll without work lasts a minute.
POLL_AT_LEAST_EVERY = timedelta(seconds=90)


def command(name: str, home: Home) -> list[str]:
    """The `followthrough` command of this name, as a process of its own."""
    return [*PYTHON, "-m", "stack", name, "--home", str(home.path)]


def sandbox(home: Home, state: State, environment: Mapping[str, str]) -> Service:
    async def answers(_process: ProcessId) -> bool:
        return await web.is_ok(f"{state.sandbox_url}/healthz")

    inbound = ("--carrier-webhooks-to", f"{state.api_url}/v1/inbound/carrier") if state.api_url else ()
    return Service(
        name="sandbox",
        command=[
            *(*PYTHON, "-m", "sandbox", "--port", str(state.ports["sandbox"])),
            *("--smtp-port", str(state.ports["sandbox_smtp"])),
            *("--ledger", str(home.sandbox / "ledger.sqlite")),
            *inbound,
        ],
        environment=supervised(home, state, environment),
        folder=home.path,
        probe=answers,
    )


def worker(home: Home, state: State, environment: Mapping[str, str]) -> Service:
    async def works(process: ProcessId) -> bool:
        return await worker_works(state, process)

    return Service(
        name="worker",
        command=command("worker", home),
        environment=supervised(home, state, environment),
        folder=home.path,
        probe=works,
    )


def api(home: Home, state: State, environment: Mapping[str, str]) -> Service:
    async def is_ready(_process: ProcessId) -> bool:
        return await api_is_ready(state)

    return Service(
        name="api",
        command=command("api", home),
        environment=supervised(home, state, environment),
        folder=home.path,
        probe=is_ready,
    )


async def api_is_ready(state: State) -> bool:
    """Whether the API says it is; without a worker of ours its poller check cannot pass, and living is enough."""
    return await web.is_ok(f"{state.api_url}/{'livez' if 'worker' in state.absent else 'readyz'}")


async def worker_works(state: State, process: ProcessId) -> bool:
    """Whether this worker answers and polls. A Temporal that was brought along offers no HTTP to ask for pollers."""
    if not await web.is_ok(state.metrics["worker"]):
        return False
    if state.temporal_http_url is None or state.temporal_namespace is None:
        return True
    try:
        began = datetime.fromtimestamp(psutil.Process(process.pid).create_time(), UTC)
    except psutil.Error:
        return False
    since = max(began, datetime.now(UTC) - POLL_AT_LEAST_EVERY)
    return await has_poller(state.temporal_http_url, state.temporal_namespace, ORDERS, since)
