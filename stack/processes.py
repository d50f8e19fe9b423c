"""Which process is which, and how to end one: by pid and start, so that a recycled pid is never touched."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

POLL_S = 0.02


@dataclass(frozen=True)
class ProcessId:
    """One process for good: a pid together with the moment it began."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """The process that has this pid now; None when there is none, or only its remains (a zombie)."""
        started = _start_of(pid)
        return None if started is None else cls(pid, started)

    def is_alive(self) -> bool:
        return _start_of(self.pid) == self.started

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process is gone."""
        if self.is_alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def send_to_group(self, number: signal.Signals) -> None:
        """Send a signal to whatever is left of the process's own group; its leader may be gone."""
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return


async def end(process: ProcessId, request: signal.Signals, patience_s: float) -> None:
    """Ask a process to stop, wait, and then make it."""
    process.send(request)
    if not await _is_gone_within(process, patience_s):
        process.send(signal.SIGKILL)
        await _is_gone_within(process, patience_s)
    process.send_to_group(signal.SIGKILL)


async def _is_gone_within(process: ProcessId, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while process.is_alive():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True


def marked_processes(variable: str, value: str) -> Iterator[ProcessId]:
    """Every process that was started with this environment variable set to this value."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(variable) != value:
                continue
        except (psutil.Error, OSError):
            continue
        found = ProcessId.of(process.pid)
        if found is not None:
            yield found


def memory_bytes(pid: int, *, with_children: bool = True) -> tuple[int, int]:
    """RSS and PSS of a process. PSS counts shared pages once in all; where it is unknown it equals RSS."""
    rss = pss = 0
    try:
        parent = psutil.Process(pid)
        family = [parent, *(parent.children(recursive=True) if with_children else ())]
    except psutil.Error:
        return 0, 0
    for process in family:
        try:
            usage = process.memory_full_info()
        except psutil.Error:
            continue
        rss += usage.rss
        pss += getattr(usage, "pss", usage.rss)
    return rss, pss


def _start_of(pid: int) -> str | None:
    """When a live process began; ticks since boot on Linux, for the wall clock may be set while it runs."""
    boot = _boot_id()
    if boot is None:
        try:
            process = psutil.Process(pid)
            return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
        except psutil.Error:
            return None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, start = fields[0], fields[19]
    return None if state in "ZX" else f"{boot}/{start}"


@cache
def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
