"""The real Temporal server on our Postgres: its schema, its configuration and whether it works."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg

from stack import web
from stack.environment import HOME_MARK
from stack.errors import StackError
from stack.home import Home
from stack.one_off import run_to_end
from stack.ports import LOOPBACK
from stack.postgres import TEMPORAL_ROLE, Postgres
from stack.processes import ProcessId
from stack.supervisor import Service
from stack.temporal_build import Binaries

DATABASE = "temporal"
VISIBILITY_DATABASE = "temporal_visibility"
SCHEMAS = {DATABASE: "postgresql/v12/temporal", VISIBILITY_DATABASE: "postgresql/v12/visibility"}
DYNAMIC_CONFIG = Path(__file__).with_name("dynamicconfig.yaml")
# Each connection costs Postgres a few MB; 10 and 5 carry what two cores can do.
SQL_CONNECTIONS = "10"
VISIBILITY_CONNECTIONS = "5"
SOFT_MEMORY_LIMIT = "512MiB"
SHARDS = 4
ROLES = ("FRONTEND", "MATCHING", "HISTORY", "WORKER")
# Of the caller's environment these alone reach the server: it reads many more, such as TEMPORAL_TLS_*, SQL_* and
# POSTGRES_*, which the caller means for clients of other servers.
PASSED_ON = ("GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "HOME", "PATH", "TMPDIR", "TZ")
SERVER_NAMESPACE = "temporal-system"
POLLER_KNOWN_FOR = timedelta(minutes=5)


def port_names() -> list[str]:
    """Every port the server opens, by name."""
    internal = [f"temporal_{role.lower()}_{kind}" for role in ROLES for kind in ("grpc", "membership")]
    internal.remove("temporal_frontend_grpc")
    return [*internal, "temporal", "temporal_http", "temporal_metrics"]


@dataclass(frozen=True)
class TemporalServer:
    """One Temporal server of one home."""

    binaries: Binaries
    postgres: Postgres
    ports: Mapping[str, int]
    home: Home

    @property
    def http_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['temporal_http']}"

    def service(self, base_environment: Mapping[str, str]) -> Service:
        return Service(
            name="temporal",
            command=[str(self.binaries.server), "--allow-no-auth", "start"],
            environment={**_passed_on(base_environment), **self._configuration(), HOME_MARK: str(self.home.path)},
            folder=self.home.temporal,
            probe=self.works,
            before_start=self.forget_members,
        )

    def _configuration(self) -> dict[str, str]:
        ports = {
            f"{role}_{kind}_PORT": str(self.ports[f"temporal_{role.lower()}_{kind.lower()}"])
            for role in ROLES
            for kind in ("GRPC", "MEMBERSHIP")
            if (role, kind) != ("FRONTEND", "GRPC")
        }
        return {
            "DB": "postgres12_pgx",
            "POSTGRES_SEEDS": LOOPBACK,
            "DB_PORT": str(self.postgres.port),
            "POSTGRES_USER": TEMPORAL_ROLE,
            "POSTGRES_PWD": self.postgres.secrets.temporal_password,
            "DBNAME": DATABASE,
            "VISIBILITY_DBNAME": VISIBILITY_DATABASE,
            "SQL_MAX_CONNS": SQL_CONNECTIONS,
            "SQL_MAX_IDLE_CONNS": SQL_CONNECTIONS,
            "SQL_VIS_MAX_CONNS": VISIBILITY_CONNECTIONS,
            "SQL_VIS_MAX_IDLE_CONNS": VISIBILITY_CONNECTIONS,
            "NUM_HISTORY_SHARDS": str(SHARDS),
            "BIND_ON_IP": LOOPBACK,
            "TEMPORAL_BROADCAST_ADDRESS": LOOPBACK,
            "DYNAMIC_CONFIG_FILE_PATH": str(DYNAMIC_CONFIG),
            "PROMETHEUS_ENDPOINT": f"{LOOPBACK}:{self.ports['temporal_metrics']}",
            "FRONTEND_GRPC_PORT": str(self.ports["temporal"]),
            "FRONTEND_HTTP_PORT": str(self.ports["temporal_http"]),
            **ports,
        }

    async def create_schema(self) -> None:
        """Bring both databases to the schema of this server version. Safe to repeat."""
        marker = self.home.temporal / "schema-version"
        if marker.exists() and marker.read_text() == self.binaries.server_version:
            return
        await asyncio.gather(*(self._bring_up_to_date(database) for database in SCHEMAS))
        marker.write_text(self.binaries.server_version)

    async def _bring_up_to_date(self, database: str) -> None:
        if await self._exists(database):
            await self._run_tool(database, "update-schema", "--schema-name", SCHEMAS[database])
            return
        # A database carries its real name only once its schema is whole: an interrupted set-up begins afresh.
        unfinished = f"{database}_unfinished"
        await self._execute("postgres", f"DROP DATABASE IF EXISTS {unfinished}", f"CREATE DATABASE {unfinished}")
        await self._run_tool(unfinished, "setup-schema", "-v", "0.0")
        await self._run_tool(unfinished, "update-schema", "--schema-name", SCHEMAS[database])
        # The tool keeps the version under the database's name.
        await self._execute(unfinished, f"UPDATE schema_version SET db_name = '{database}'")  # noqa: S608  # a constant
        await self._execute("postgres", f"ALTER DATABASE {unfinished} RENAME TO {database}")

    async def _exists(self, database: str) -> bool:
        connection = await self.postgres.connect_for_temporal("postgres")
        try:
            return bool(await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database))
        finally:
            await connection.close()

    async def _execute(self, database: str, *statements: str) -> None:
        connection = await self.postgres.connect_for_temporal(database)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def _run_tool(self, database: str, *arguments: str) -> None:
        log_path = self.home.log(f"schema-{database.removesuffix('_unfinished')}")
        code = await run_to_end(
            [
                self.binaries.sql_tool,
                *("--plugin", "postgres12_pgx", "--endpoint", LOOPBACK, "--port", str(self.postgres.port)),
                *("--user", TEMPORAL_ROLE, "--database", database, *arguments),
            ],
            environment={"PATH": os.defpath, "SQL_PASSWORD": self.postgres.secrets.temporal_password},
            folder=self.home.temporal,
            log=log_path,
        )
        if code:
            raise StackError(
                f"Temporal's schema could not be set up in database {database} (exit code {code})",
                log=log_path,
                remedy="see the log, then run `followthrough up` again; it goes on from there",
            )

    async def forget_members(self) -> None:
        """Remove the members an earlier server left behind; a new one may try to join them for a minute.

        Our home's lock says that no server of this home is alive.
        """
        try:
            await self._execute(DATABASE, "DELETE FROM cluster_membership")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            raise ConnectionError(f"Postgres is away: {error}") from error

    async def works(self, _process: ProcessId) -> bool:
        return await server_works(self.http_url)


async def server_works(http_url: str) -> bool:
    """Whether history, matching and visibility do their work; that the frontend connects says little.

    A workflow that does not exist is looked up in every shard, a task queue's pollers are asked for, and visibility
    is searched, all in the server's own namespace, which is there from the beginning.
    """
    namespace = f"{http_url}/api/v1/namespaces/{SERVER_NAMESPACE}"
    answers = await asyncio.gather(
        *(web.get(f"{namespace}/workflows/probe-{number}") for number in range(SHARDS)),
        web.get(f"{namespace}/task-queues/probe", {"taskQueueType": "TASK_QUEUE_TYPE_WORKFLOW"}),
        web.get(f"{namespace}/workflows", {"pageSize": "1"}),
    )
    *histories, matching, visibility = (status for status, _ in answers)
    return all(status in (200, 404) for status in histories) and matching == visibility == 200


async def has_poller(http_url: str, namespace: str, queue: str, since: datetime) -> bool:
    """Whether a workflow worker has polled this queue since then."""
    status, answer = await web.get(
        f"{http_url}/api/v1/namespaces/{namespace}/task-queues/{queue}",
        {"taskQueueType": "TASK_QUEUE_TYPE_WORKFLOW"},
    )
    if status != 200:
        return False
    polls = (datetime.fromisoformat(poller["lastAccessTime"]) for poller in answer.get("pollers", ()))
    return any(poll >= since for poll in polls)


def _passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    kept = {name: environment[name] for name in PASSED_ON if name in environment}
    return {"GOMEMLIMIT": SOFT_MEMORY_LIMIT, "LOG_LEVEL": "warn", **kept}
