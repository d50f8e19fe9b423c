"""What this machine has left: memory and disk."""

import shutil
from pathlib import Path

import psutil

from stack.errors import StackError

MB = 1_000_000
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_CGROUP_USE = Path("/sys/fs/cgroup/memory.current")
_CGROUP_PARTS = Path("/sys/fs/cgroup/memory.stat")


def available_memory() -> int:
    """Bytes a new process may use: what the machine has free, or a container's limit leaves."""
    free = int(psutil.virtual_memory().available)
    try:
        parts = dict(line.split() for line in _CGROUP_PARTS.read_text().splitlines())
        # What it caches of files is given up when memory is wanted.
        cached = int(parts["active_file"]) + int(parts["inactive_file"])
        return min(free, int(_CGROUP_LIMIT.read_text()) - int(_CGROUP_USE.read_text()) + cached)
    except (OSError, ValueError, KeyError):
        return free


def free_disk(folder: Path) -> int:
    """Bytes free where this folder is, or will be."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return shutil.disk_usage(existing).free


def require(folder: Path, *, disk: int, memory: int, purpose: str) -> None:
    """Raise StackError when there is too little room for what comes."""
    if free_disk(folder) < disk:
        raise StackError(
            f"{purpose} needs {disk // MB} MB of disk at {folder}, and {free_disk(folder) // MB} MB are free",
            remedy="free some space there, or choose another folder (XDG_CACHE_HOME for the cache, --home for a home)",
        )
    if available_memory() < memory:
        raise StackError(
            f"{purpose} needs {memory // MB} MB of memory, and {available_memory() // MB} MB are available",
            remedy="stop other programs, or give this machine or container more memory",
        )
