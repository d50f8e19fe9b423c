"""One full stack for a whole test session, in a home of its own, on free ports."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
from temporalio.converter import DataConverter

from payloads import data_converter
from settings import PayloadSettings
from stack.home import Home
from stack.tokens import sign_token
from tests.webhooks import allowed_hosts

FOLLOWTHROUGH = (sys.executable, "-P", "-m", "stack")
COMMAND_WITHIN_S = 150
TOKEN_TTL_S = 3_600
MERCHANDISER = "merchandiser@example.com"
# Secrets that this stack has no use for, and must all the same keep to itself.
CANARIES = {
    "FOLLOWTHROUGH_SMTP_PASSWORD": "canary-smtp-9d1c7b2e",
    "AWS_SECRET_ACCESS_KEY": "canary-aws-3f5e8a10",
    "AWS_SESSION_TOKEN": "canary-session-77aa20c4",
}


@dataclass(frozen=True)
class RunningStack:
    """Where a running stack's parts are."""

    home: Path
    api_url: str
    temporal_address: str
    temporal_namespace: str
    temporal_ui_url: str
    database_url: str
    sandbox_url: str
    metrics: Mapping[str, str]

    @classmethod
    def of(cls, home: Path, found: Mapping[str, Any]) -> Self:
        """What `up --json` printed for this home; a part that was left out has no URL."""
        return cls(home=home, **{name: found[name] for name in cls.__dataclass_fields__ if name != "home"})

    @property
    def data_converter(self) -> DataConverter:
        """What its clients read and write payloads with: encrypted ones, when this stack encrypts."""
        return data_converter(PayloadSettings(payload_keys=Home(self.home).secrets().payload_keys or None).keys)

    def token(self, subject: str, *scopes: str) -> str:
        """A token that this stack's API accepts."""
        return sign_token(Home(self.home), subject, scopes, TOKEN_TTL_S)

    def status(self) -> dict[str, Any]:
        """What `followthrough status --json` says now."""
        return status(self.home)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The session's stack: brought up before its first test, stopped after the last."""
    home = tmp_path_factory.mktemp("stack") / "home"
    try:
        # The tests are many people at one address, and have receivers of webhooks on this machine.
        found = bring_up(
            home,
            **CANARIES,
            FOLLOWTHROUGH_ENCRYPT_PAYLOADS="true",
            FOLLOWTHROUGH_SIGN_UPS_PER_MINUTE="100000",
            FOLLOWTHROUGH_MERCHANDISER_ADDRESS=MERCHANDISER,
            FOLLOWTHROUGH_WEBHOOKS_ALLOWED_HOSTS=allowed_hosts(),
        )
        yield RunningStack.of(home, found)
    finally:
        throw_away(home)


def bring_up(home: Path, *arguments: str, **variables: str) -> dict[str, Any]:
    """`followthrough up --detach --json` in this home; returns what it prints. Fails with its own words."""
    done = followthrough("up", "--detach", "--json", "--home", str(home), *arguments, **variables)
    if done.returncode:
        pytest.fail(f"the stack did not come up:\n{done.stderr}", pytrace=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def home_without_worker(home: Path) -> Iterator[Path]:
    """A stack in this home, with everything but a worker, while the context is open."""
    try:
        bring_up(home, "--without", "worker")
        yield home
    finally:
        throw_away(home)


def status(home: Path) -> dict[str, Any]:
    """What `followthrough status --json` prints for this home."""
    found: dict[str, Any] = json.loads(followthrough("status", "--json", "--home", str(home)).stdout)
    return found


def followthrough(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with nothing of the caller's configuration but these variables."""
    return subprocess.run(
        [*FOLLOWTHROUGH, *arguments],
        env=clean_environment() | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_WITHIN_S,
        check=False,
    )


def clean_environment() -> dict[str, str]:
    """This process's environment without what would bring a Postgres, a Temporal or settings along."""
    ours = ("DATABASE_URL", "TEMPORAL_", "FOLLOWTHROUGH_", "OTEL_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def throw_away(home: Path) -> None:
    """Stop what runs in a home, and remove its data, which may lie outside of it when tests run as root."""
    if not home.exists():
        return
    followthrough("down", "--home", str(home))
    data = home / "postgres"
    if data.is_symlink():
        shutil.rmtree(data.resolve(), ignore_errors=True)
        data.resolve().with_suffix(".home").unlink(missing_ok=True)
    shutil.rmtree(home, ignore_errors=True)
