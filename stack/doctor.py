"""One screen about this machine, this project and this home: what is there, and what is missing."""

import os
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console
from rich.table import Table

from stack import temporal_build
from stack.errors import StackError
from stack.home import Home
from stack.machine import MB, available_memory, free_disk
from stack.plan import absent_processes
from stack.postgres import installed_folder
from stack.unprivileged import ROOT_STORE, postgres_user
from stack.up import HOME_DISK, STACK_MEMORY

PACKAGES = ("followthrough", "temporalio", "fastapi", "uvicorn", "sqlalchemy", "asyncpg", "pydantic")


@dataclass(frozen=True)
class Finding:
    """One line. `remedy` says what to do, where something stands in the way."""

    subject: str
    found: str
    remedy: str | None = None


def examine(home: Home) -> bool:
    """Print every finding. True when nothing stands in the way of `up`."""
    findings = [*_software(), *_machine(home), *_home(home)]
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        mark = "[green]ok[/]" if finding.remedy is None else "[red]!![/]"
        table.add_row(mark, finding.subject, finding.found)
        if finding.remedy is not None:
            table.add_row("", "", f"what to do: {finding.remedy}")
    Console(highlight=False).print(table)
    return all(finding.remedy is None for finding in findings)


def _software() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    try:
        yield Finding("packages", ", ".join(f"{package} {version(package)}" for package in PACKAGES))
    except PackageNotFoundError as error:
        yield Finding("packages", f"{error.name} is missing", "run `make setup`")
    yield _postgres()
    yield from _temporal()


def _postgres() -> Finding:
    try:
        program = installed_folder() / "bin" / "postgres"
        shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        user = postgres_user()
    except StackError as error:
        return Finding("postgres", error.what, error.remedy)
    except (OSError, subprocess.CalledProcessError) as error:
        return Finding("postgres", f"does not run: {error}", "run `make setup`")
    aside = "" if user is None else f", run as `nobody`; data it cannot reach in a home lies in {ROOT_STORE}"
    return Finding("postgres", f"{shown.strip().removeprefix('postgres ')}{aside}")


def _temporal() -> Iterator[Finding]:
    try:
        binaries = temporal_build.pinned_binaries()
        go = temporal_build.installed_go()
    except StackError as error:
        yield Finding("temporal", error.what, error.remedy)
        return
    versions = f"server {binaries.server_version}, Web UI {binaries.ui_version}"
    if binaries.exist:
        yield Finding("temporal", f"{versions}, in {binaries.folder}")
    else:
        yield Finding("temporal", f"{versions}, not built yet", "run `make setup`; it takes about 3 minutes, once")
        needed = (temporal_build.BUILD_DISK, temporal_build.BUILD_MEMORY)
        if free_disk(binaries.folder) < needed[0] or available_memory() < needed[1]:
            needs = f"needs {needed[0] // MB} MB of disk and {needed[1] // MB} MB of memory"
            yield Finding("temporal build", needs, "free some, or set XDG_CACHE_HOME to a larger disk")
    yield Finding("go toolchain", str(go) if go else "not installed; only a build needs it, and installs it")


def _machine(home: Home) -> Iterator[Finding]:
    disk, memory = free_disk(home.path), available_memory()
    cores = f"{os.cpu_count()} cores"
    yield Finding(
        "memory", f"{memory // MB} MB available, {cores}", None if memory >= STACK_MEMORY else "stop other programs"
    )
    yield Finding("disk", f"{disk // MB} MB free at the home", None if disk >= HOME_DISK else "free some space")


def _home(home: Home) -> Iterator[Finding]:
    if not home.path.exists():
        yield Finding("home", f"{home.path}: not made yet; `followthrough up` makes it")
        return
    state = home.state()
    owner = home.owner()
    if owner is not None:
        yield Finding("home", f"{home.path}: {state.phase}, `up` is pid {owner.pid}")
    elif any(process.is_alive() for process in state.processes.values()):
        yield Finding("home", f"{home.path}: left behind by a killed `up`", "run `followthrough up` or `down`")
    else:
        yield Finding("home", f"{home.path}: stopped; `followthrough up` goes on with its data")
    if state.ports:
        yield Finding("ports", ", ".join(f"{name} {port}" for name, port in sorted(state.ports.items())))
    for name, why in absent_processes(os.environ, ()).items():
        yield Finding(name, f"{why}: its address is set in the environment")
