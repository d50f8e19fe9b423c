"""A home folder: the data, secrets, logs and state of one stack."""

import base64
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from stack.errors import StackError
from stack.processes import POLL_S, ProcessId

PROCESS_NAMES = ("postgres", "temporal", "temporal-ui", "sandbox", "worker", "api")
# What belongs to the owner alone, and a home that others may pass through but not look into: when the stack runs as
# root, Postgres runs as another user and has to reach its folder below.
PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
PASSABLE_FOLDER = 0o711
PAYLOAD_KEY_BYTES = 32


@dataclass(frozen=True)
class Secrets:
    """Random values of one home, made once."""

    home_id: str
    postgres_password: str
    temporal_password: str
    database_password: str
    payments_api_key: str
    carrier_api_key: str
    confirmation_secret: str
    payments_webhook_secret: str
    carrier_webhook_secret: str
    session_secret: str
    app_database_password: str
    payload_keys: str = ""
    """As FOLLOWTHROUGH_PAYLOAD_KEYS has them; empty until encryption is switched on."""

    @classmethod
    def random(cls) -> "Secrets":
        return cls(
            home_id=secrets.token_hex(8),
            postgres_password=secrets.token_urlsafe(24),
            temporal_password=secrets.token_urlsafe(24),
            database_password=secrets.token_urlsafe(24),
            payments_api_key=f"sk_test_{secrets.token_hex(16)}",
            carrier_api_key=f"carrier_test_{secrets.token_hex(16)}",
            confirmation_secret=secrets.token_urlsafe(32),
            payments_webhook_secret=f"whsec_{secrets.token_hex(32)}",
            carrier_webhook_secret=f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
            session_secret=secrets.token_urlsafe(32),
            app_database_password=secrets.token_urlsafe(24),
        )


@dataclass
class State:
    """What state.json holds: where everything is, and which processes run."""

    home: str
    phase: str = "stopped"
    api_url: str | None = None
    temporal_address: str | None = None
    temporal_namespace: str | None = None
    temporal_http_url: str | None = None
    temporal_ui_url: str | None = None
    database_url: str | None = None
    app_database_url: str | None = None
    """By the role of the API and the worker, which owns nothing; None when the caller brought a database along."""
    sandbox_url: str | None = None
    smtp_address: str | None = None
    metrics: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    """Processes that this stack does not run, and why: "left out" or "brought along"."""
    supervisor: ProcessId | None = None
    processes: dict[str, ProcessId] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)


class Home:
    """The folder and the files in it. Nothing else knows their names."""

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))
        self.logs = self.path / "logs"
        self.files = self.path / "files"
        self.sandbox = self.path / "sandbox"
        self.temporal = self.path / "temporal"
        self.postgres = self.path / "postgres"
        self.signing_key = self.path / "signing-key.pem"
        self.jwks = self.path / "jwks.json"
        self._secrets = self.path / "secrets.json"
        self._state = self.path / "state.json"
        self._lock = self.path / "lock"

    @property
    def exists(self) -> bool:
        """Whether a stack has ever run here."""
        return self._state.exists()

    def create(self) -> None:
        """Make the folder and those within. Raises StackError when that is not possible."""
        try:
            if not self.path.exists():
                self.path.mkdir(parents=True)
                self.path.chmod(PASSABLE_FOLDER)
            for folder in (self.files, self.logs, self.sandbox, self.temporal):
                folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        except OSError as error:
            raise StackError(
                f"the home folder {self.path} cannot be used: {error.strerror}",
                remedy="choose a folder you can write to with --home",
            ) from error

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def state(self) -> State:
        """The state as last written; that of a stopped stack when there is none."""
        try:
            stored: dict[str, Any] = json.loads(self._state.read_text())
            supervisor = stored.pop("supervisor")
            processes = stored.pop("processes")
        except FileNotFoundError:
            return State(home=str(self.path))
        except (OSError, ValueError, KeyError) as error:
            raise StackError(
                f"{self._state} cannot be read: {error}", remedy="remove that file and run `followthrough up` again"
            ) from error
        known = {item.name for item in fields(State)}
        return State(
            # Another version of this project may have written it.
            **{name: value for name, value in stored.items() if name in known},
            supervisor=ProcessId(**supervisor) if supervisor else None,
            processes={name: ProcessId(**process) for name, process in processes.items()},
        )

    def write_state(self, state: State) -> None:
        write_private(self._state, json.dumps(asdict(state), indent=2))

    def secrets(self) -> Secrets:
        """This home's secrets, made on first use. A home that an earlier version made gets what it lacks."""
        kept = json.loads(self._secrets.read_text()) if self._secrets.exists() else {}
        complete = {**asdict(Secrets.random()), **kept}
        if complete.keys() != kept.keys():
            write_private(self._secrets, json.dumps(complete, indent=2))
        return Secrets(**complete)

    def encrypt_payloads(self) -> None:
        """Switch the encryption of payloads on: for good, since what it has written has to stay readable."""
        kept = self.secrets()
        if not kept.payload_keys:
            key = base64.b64encode(secrets.token_bytes(PAYLOAD_KEY_BYTES)).decode()
            fresh = replace(kept, payload_keys=f"home-{secrets.token_hex(4)}={key}")
            write_private(self._secrets, json.dumps(asdict(fresh), indent=2))

    def existing_id(self) -> str | None:
        """The id of a home that is there; None when there is none."""
        try:
            return str(json.loads(self._secrets.read_text())["home_id"])
        except FileNotFoundError:
            return None

    def owner(self) -> ProcessId | None:
        """The `up` that runs here, if one does."""
        supervisor = self.state().supervisor
        return supervisor if supervisor is not None and supervisor.is_alive() else None

    @contextmanager
    def locked(self, patience_s: float = 0.0) -> Iterator[bool]:
        """Hold the home for one `up` or one clean-up. False when another `up` has it, or patience runs out."""
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        deadline = time.monotonic() + patience_s
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() >= deadline or self.owner() is not None:
                        yield False
                        return
                    time.sleep(POLL_S)
                else:
                    yield True
                    return
        finally:
            os.close(descriptor)

    @contextmanager
    def claimed(self, what: str) -> Iterator[bool]:
        """Have what only one process of this home may have at a time. False when another one has it."""
        descriptor = os.open(self.path / f"{what}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = True
        except BlockingIOError:
            is_ours = False
        try:
            yield is_ours
        finally:
            os.close(descriptor)


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, so that a reader sees the old or the new one; only its owner may read it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
