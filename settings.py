"""Every environment variable the API and the worker read, with its unit and default.

API and worker read the environment nowhere else; docs/configuration.md is this file in prose.
"""

import base64
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from email.utils import parseaddr
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    Field,
    FilePath,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

# Zones that change their clocks do so every year, at the same hour.
CHANGES_WITHIN_DAYS = 2 * 366
# Of AES-256.
KEY_BYTES = 32
KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class ProviderCalls(StrEnum):
    """How a workflow calls a provider: first inside its own task, or always as a regular activity."""

    LOCAL_FIRST = "local_first"
    REGULAR = "regular"


class SmtpSecurity(StrEnum):
    """How the connection to the mail server is kept from eavesdroppers: after STARTTLS, from its first byte, not."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class DatabaseSettings(BaseSettings):
    """Where our books are kept."""

    model_config = SettingsConfigDict(env_prefix="", extra="ignore")

    database_url: SecretStr = Field(description="postgresql://user:password@host:port/database")

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://")
        return url


class TemporalSettings(BaseSettings):
    """Where the Temporal frontend answers, and how to get in; the names are those that Temporal's own clients know."""

    model_config = SettingsConfigDict(env_prefix="TEMPORAL_", extra="ignore", env_ignore_empty=True)

    address: str = Field(default="127.0.0.1:7233", description="host:port")
    namespace: str = "followthrough"
    tls: bool | None = Field(default=None, description="unless told, where one of the following is given")
    tls_server_ca_cert_path: FilePath | None = Field(default=None, description="instead of the system's authorities")
    tls_server_name: str | None = Field(default=None, description="in its certificate, if that is not the address")
    tls_client_cert_path: FilePath | None = Field(default=None, description="for mutual TLS")
    tls_client_key_path: FilePath | None = None
    api_key: SecretStr | None = None

    @model_validator(mode="after")
    def _has_both_or_neither(self) -> Self:
        if (self.tls_client_cert_path is None) != (self.tls_client_key_path is None):
            raise ValueError("tls_client_cert_path and tls_client_key_path belong together")
        return self

    @property
    def access(self) -> Mapping[str, Any]:
        """What `temporalio.client.Client.connect` is to be given besides the address."""
        from temporalio.service import TLSConfig

        files = (self.tls_server_ca_cert_path, self.tls_client_cert_path, self.tls_client_key_path)
        authority, certificate, key = (path.read_bytes() if path is not None else None for path in files)
        named = any((*files, self.tls_server_name, self.api_key))
        config = TLSConfig(
            server_root_ca_cert=authority,
            client_cert=certificate,
            client_private_key=key,
            domain=self.tls_server_name,
        )
        return {
            "namespace": self.namespace,
            "tls": config if (named if self.tls is None else self.tls) else False,
            "api_key": self.api_key.get_secret_value() if self.api_key is not None else None,
        }


class PayloadSettings(BaseSettings):
    """What payloads are encrypted with before Temporal sees them; whatever of ours speaks to it needs the same."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_", extra="ignore", hide_input_in_errors=True)

    payload_keys: SecretStr | None = Field(
        default=None,
        description="id=base64 of 32 bytes,...: the first one encrypts, each decrypts; or file:///... that holds them",
    )

    @field_validator("payload_keys")
    @classmethod
    def _is_key_ring(cls, secret: SecretStr | None) -> SecretStr | None:
        """Read from its file once, when a process starts."""
        if secret is None:
            return None
        text = secret.get_secret_value()
        if text.startswith("file://"):
            try:
                text = Path(url2pathname(urlsplit(text).path)).read_text()
            except (OSError, UnicodeDecodeError):
                raise ValueError("names a file that cannot be read") from None
        ring = SecretStr(",".join(text.split()))
        if not _key_ring(ring.get_secret_value()):
            raise ValueError("must name at least one key")
        return ring

    @property
    def keys(self) -> Mapping[str, bytes]:
        """Each key by its id, the one that encrypts first; none when nothing is to be encrypted."""
        return _key_ring(self.payload_keys.get_secret_value()) if self.payload_keys else {}


class TracingSettings(BaseSettings):
    """Where spans are sent, under OpenTelemetry's own names; whatever else of these its SDK knows, it reads itself."""

    model_config = SettingsConfigDict(
        env_prefix="OTEL_", extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    exporter_otlp_endpoint: str | None = Field(
        default=None, description="https://host:port of what takes OTLP over HTTP; without one there are no traces"
    )
    exporter_otlp_headers: SecretStr | None = Field(default=None, description="name=value,..., as in a URL's query")
    service_name: str | None = Field(default=None, description="followthrough-api or followthrough-worker, unless told")
    traces_sampler_arg: float = Field(default=1.0, ge=0, le=1, description="the share of traces that are kept")

    @field_validator("exporter_otlp_endpoint")
    @classmethod
    def _is_plain_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
            raise ValueError("must be http(s)://host:port, without a password: that goes into the headers")
        return url.removesuffix("/")

    @field_validator("exporter_otlp_headers")
    @classmethod
    def _are_headers(cls, headers: SecretStr | None) -> SecretStr | None:
        _pairs(headers.get_secret_value() if headers else None)
        return headers

    @property
    def headers(self) -> Mapping[str, str]:
        text = self.exporter_otlp_headers.get_secret_value() if self.exporter_otlp_headers else None
        return {name.lower(): unquote(value) for name, value in _pairs(text).items()}


class OrderSettings(BaseSettings):
    """The rules an order is accepted under; they are fixed in its workflow's input."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_", extra="ignore")

    approval_threshold: int = Field(default=50_000, ge=0, description="minor units; a total above it needs approval")
    approval_deadline_s: PositiveInt = 24 * 60 * 60
    customer_deadline_s: PositiveInt = 72 * 60 * 60
    retry_window_s: PositiveInt = Field(default=600, description="how long a step is retried before the order parks")
    shipment_poll_after_s: PositiveInt = Field(
        default=6 * 60 * 60, description="how long the carrier of a shipment may be silent before it is asked"
    )


class ApiSettings(BaseSettings):
    """The HTTP process."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_", extra="ignore")

    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=0, le=65_535)
    metrics_host: str = "127.0.0.1"
    api_metrics_port: int = Field(default=9101, ge=0, le=65_535)
    api_database_connections: PositiveInt = 10
    api_drain_s: NonNegativeFloat = Field(
        default=0.0, description="how long a process that is told to stop says so on /readyz before it takes no more"
    )
    jwks_url: str = Field(description="https://..., or file:///... in development: the keys that sign our tokens")
    jwt_issuer: str = "followthrough"
    jwt_audience: str = "followthrough-api"
    rate_limit_per_second: PositiveFloat = 200.0
    rate_limit_burst: PositiveInt = 1_000
    sign_ups_per_minute: PositiveInt = Field(default=60, description="for an address")
    temporal_ui_url: str | None = Field(
        default=None, pattern=r"^https?://", description="where operators' browsers find Temporal's Web UI"
    )
    payments_webhook_secret: SecretStr | None = Field(
        default=None, min_length=16, description="whsec_..., as Stripe shows it; without it no event is believed"
    )
    carrier_webhook_secret: SecretStr | None = Field(
        default=None, min_length=16, description="whsec_ and base64; without it no event is believed"
    )
    codec_origins: str | None = Field(
        default=None, description="https://host,...: the Temporal Web UI's, which may have payloads decrypted"
    )

    @field_validator("codec_origins")
    @classmethod
    def _are_origins(cls, text: str | None) -> str | None:
        for entry in _entries(text):
            parts = urlsplit(entry)
            if parts.scheme not in ("http", "https") or entry != f"{parts.scheme}://{parts.netloc}" or not parts.netloc:
                raise ValueError("must be origins such as https://temporal.example.com, separated by commas")
        return text

    @property
    def web_ui_origins(self) -> frozenset[str]:
        return frozenset(_entries(self.codec_origins))


class ObjectStoreSettings(BaseSettings):
    """Where files are kept; the API and the worker need the same."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_", extra="ignore")

    object_store_url: str = Field(description="file:///folder or s3://bucket/prefix")

    @field_validator("object_store_url")
    @classmethod
    def _is_folder_or_bucket(cls, url: str) -> str:
        if not url.startswith(("file:///", "s3://")):
            raise ValueError("must start with file:/// or s3://")
        return url


class S3Settings(BaseSettings):
    """How to reach and enter the bucket of an s3:// URL, under the names that AWS's own clients know."""

    model_config = SettingsConfigDict(env_prefix="AWS_", extra="ignore")

    region: str | None = None
    endpoint_url: str | None = Field(default=None, description="of a store that is not AWS's own")
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None

    @property
    def revealed(self) -> Mapping[str, str | None]:
        """Each of them by its name, secrets as they are."""
        values = dict(self)
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in values.items()
        }


class EventLoopSettings(BaseSettings):
    """When an event loop counts as blocked; the API and the worker read the same."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_EVENT_LOOP_", extra="ignore")

    blocked_after_s: PositiveFloat = Field(default=0.5, description="what blocks it for longer is logged")


class WorkerSettings(BaseSettings):
    """The worker process and the providers its activities call."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_", extra="ignore")

    metrics_host: str = "127.0.0.1"
    worker_metrics_port: int = Field(default=9102, ge=0, le=65_535)
    worker_database_connections: PositiveInt = 10
    worker_drain_s: PositiveFloat = Field(
        default=10.0, description="how long a worker that is told to stop lets its activities finish"
    )
    provider_calls: ProviderCalls = ProviderCalls.LOCAL_FIRST
    provider_timeout_s: PositiveFloat = Field(default=5.0, description="a provider silent for longer is given up on")
    settling_window_s: PositiveFloat = Field(
        default=60.0, description="how long after a call its absence from a provider's search proves nothing"
    )
    payments_url: str = Field(default="https://api.stripe.com", description="speaks Stripe's wire format")
    payments_api_key: SecretStr
    carrier_url: str
    carrier_api_key: SecretStr


class DeploymentSettings(BaseSettings):
    """Which version of the workers this is, where several run side by side."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_", extra="ignore", env_ignore_empty=True)

    worker_versioning: bool = Field(default=False, description="Temporal sends each version the workflows that are its")
    # Not \w, which is Unicode's to pydantic: repeated, it takes 20 MiB and 0.3 s to compile.
    deployment_name: str = Field(default="followthrough", pattern=r"^[A-Za-z0-9_-]{1,100}$")
    build_id: str = Field(
        default_factory=lambda: version("followthrough"),
        pattern=r"^[A-Za-z0-9_.-]{1,100}$",
        description="of this very code",
    )


class JobSettings(BaseSettings):
    """How a worker runs background jobs."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_JOBS_", extra="ignore")

    at_once: PositiveInt = Field(default=20, description="of each queue, in one worker")
    processes_at_once: PositiveInt = Field(
        default_factory=lambda: max(1, (os.cpu_count() or 1) - 1),
        description="of the queue cpu, in one worker: one fewer than the machine has processors, unless told",
    )
    process_memory_mb: PositiveInt | None = Field(
        default=None, ge=200, description="MiB that a job's process may take, besides what it shares with the others"
    )
    database_connections: PositiveInt = 5

    @property
    def process_memory_bytes(self) -> int | None:
        return self.process_memory_mb * 1024 * 1024 if self.process_memory_mb is not None else None


class ScheduleSettings(BaseSettings):
    """When schedules run, where that is not fixed; `migrate` and the API need the same."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_", extra="ignore")

    digest_at: str = Field(default="08:00", description="hh:mm in that zone")
    digest_zone: str = Field(default="UTC", description="an IANA time zone, such as Europe/Oslo")

    @field_validator("digest_at")
    @classmethod
    def _is_time(cls, text: str) -> str:
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text, re.ASCII):
            raise ValueError("must be a time of day, such as 08:00")
        return text

    @field_validator("digest_zone")
    @classmethod
    def _is_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("must be an IANA time zone, such as Europe/Oslo") from None
        return name

    @model_validator(mode="after")
    def _comes_once_a_day(self) -> Self:
        """Temporal skips a time that a change day lacks, and runs twice at one that it has twice."""
        zone, today = ZoneInfo(self.digest_zone), datetime.now(UTC).date()
        for days in range(CHANGES_WITHIN_DAYS):
            at = datetime.combine(today + timedelta(days=days), self.digest_time, zone)
            if at.utcoffset() != at.replace(fold=1).utcoffset():
                raise ValueError(
                    f"digest_at must be a time that every day has once: {self.digest_zone} changes its clocks then on "
                    f"{at.date()}"
                )
        return self

    @property
    def digest_time(self) -> time:
        return time.fromisoformat(self.digest_at)


class DigestSettings(BaseSettings):
    """Whom the daily digest is for."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_", extra="ignore")

    digest_to: str | None = Field(default=None, description="an address; without one there is no digest")

    @field_validator("digest_to")
    @classmethod
    def _is_address(cls, text: str | None) -> str | None:
        if text is not None and ("@" not in text or parseaddr(text)[1] != text):
            raise ValueError("must be an address, such as operators@example.com")
        return text


class RetentionSettings(BaseSettings):
    """How many days what is over is kept."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_", extra="ignore")

    # Longer than the reports that jobs have written, which expire after 7 days.
    keep_jobs_days: int = Field(
        default=30, ge=14, description="since a job or a bulk action ended; its idempotency keys too"
    )
    keep_deliveries_days: PositiveInt = Field(default=30, description="since a webhook was delivered or given up")
    keep_inbound_bodies_days: PositiveInt = Field(default=30, description="of events that nobody understood")
    keep_sign_up_keys_days: PositiveInt = Field(default=7, description="so long repeating a sign-up is safe")


class ConfirmationSettings(BaseSettings):
    """What the links that confirm an address are signed with; the API and the worker need the same."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_", extra="ignore")

    confirmation_secret: SecretStr = Field(min_length=32, description="random characters")


class SessionSettings(BaseSettings):
    """What the sessions of the API's pages are signed with; every process of the API needs the same."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_", extra="ignore")

    session_secret: SecretStr = Field(min_length=32, description="random characters")


class MailSettings(BaseSettings):
    """The mail server, and what is written in every mail."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_", extra="ignore")

    smtp_host: str = "127.0.0.1"
    smtp_port: int = Field(default=587, ge=1, le=65_535)
    smtp_security: SmtpSecurity = SmtpSecurity.STARTTLS
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_timeout_s: PositiveFloat = Field(default=20.0, description="for each step of handing a mail in")
    mail_from: str = Field(default="Followthrough <hello@followthrough.example>", description="an RFC 5322 mailbox")
    confirmation_url: str = Field(
        default="http://127.0.0.1:8000/confirm", description="the page that confirmation links lead to"
    )

    @field_validator("mail_from")
    @classmethod
    def _is_mailbox(cls, text: str) -> str:
        if "@" not in parseaddr(text)[1]:
            raise ValueError("must be a mailbox, such as Shop <hello@example.com>")
        return text

    @property
    def mail_domain(self) -> str:
        """What our Message-IDs end in."""
        return parseaddr(self.mail_from)[1].rpartition("@")[2]


class WebhookSettings(BaseSettings):
    """Where webhooks may be sent; the API and the worker need the same."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_WEBHOOKS_", extra="ignore")

    allowed_hosts: str | None = Field(
        default=None, description="host:port,...: receivers exempt from the rules of scheme, address and port"
    )
    https_only: bool = True
    ports: str = Field(default="443,80,8000-9999", description="ports and ranges of ports")

    @field_validator("allowed_hosts")
    @classmethod
    def _names_ports(cls, text: str | None) -> str | None:
        for entry in _entries(text):
            host, _, port = entry.rpartition(":")
            if not host or not _is_port(port):
                raise ValueError("must be host:port entries, separated by commas")
        return text

    @field_validator("ports")
    @classmethod
    def _are_ports(cls, text: str) -> str:
        for entry in _entries(text):
            _port_range(entry)
        return text

    @property
    def allowed(self) -> frozenset[str]:
        return frozenset(_entries(self.allowed_hosts))

    @property
    def port_ranges(self) -> tuple[range, ...]:
        return tuple(_port_range(entry) for entry in _entries(self.ports))


class MerchandiserSettings(BaseSettings):
    """Whom changes of the catalogue are mailed to; the API and the worker need the same."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_", extra="ignore")

    merchandiser_address: str | None = Field(default=None, description="without one nobody is mailed")

    @field_validator("merchandiser_address")
    @classmethod
    def _is_address(cls, text: str | None) -> str | None:
        if text is not None and ("@" not in text or parseaddr(text)[1] != text):
            raise ValueError("must be an address, such as merchandiser@example.com")
        return text


class WebhookWorkerSettings(BaseSettings):
    """What sending webhooks takes, and the receivers that a deployment has of its own."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_WEBHOOKS_", extra="ignore", hide_input_in_errors=True)

    database_connections: PositiveInt = 5
    system_receivers: str | None = Field(default=None, description="name=url,...; a comma in a URL is written %2C")
    system_secrets: SecretStr | None = Field(default=None, description="name=whsec_...,...: one for each receiver")

    @model_validator(mode="after")
    def _each_has_its_secret(self) -> Self:
        urls, secrets = _pairs(self.system_receivers), _pairs(self._secrets_text)
        if urls.keys() != secrets.keys():
            raise ValueError("system_receivers and system_secrets must have the same names")
        for secret in secrets.values():
            if not _is_signing_secret(secret):
                raise ValueError("each of system_secrets must be whsec_ and base64 of 24 to 64 bytes")
        return self

    @property
    def receivers(self) -> Mapping[str, tuple[str, str]]:
        """URL and secret of each, by its name."""
        secrets = _pairs(self._secrets_text)
        return {name: (url, secrets[name]) for name, url in _pairs(self.system_receivers).items()}

    @property
    def _secrets_text(self) -> str | None:
        return self.system_secrets.get_secret_value() if self.system_secrets else None


def _entries(text: str | None) -> list[str]:
    return [entry.strip() for entry in (text or "").split(",") if entry.strip()]


def _pairs(text: str | None) -> dict[str, str]:
    """name=value entries. Raises ValueError for one of another form, or a name that comes twice."""
    found = [(name.strip(), value.strip()) for name, _, value in (entry.partition("=") for entry in _entries(text))]
    if not all(name and value for name, value in found) or len(dict(found)) < len(found):
        raise ValueError("must be name=value entries with different names, separated by commas")
    return dict(found)


def _key_ring(text: str) -> dict[str, bytes]:
    """id=base64 entries. Raises ValueError, which doesn't repeat them, unless each is a key of AES-256."""
    keys = {key_id: _decoded(key) for key_id, key in _pairs(text).items()}
    if not all(KEY_ID.fullmatch(key_id) and len(key) == KEY_BYTES for key_id, key in keys.items()):
        raise ValueError("must be id=base64 of 32 bytes, separated by commas; an id has 1 to 64 letters, digits, . _ -")
    return keys


def _decoded(text: str) -> bytes:
    """Nothing for what is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def _port_range(entry: str) -> range:
    """A port, or a range of ports. Raises ValueError."""
    first, dash, last = entry.partition("-")
    last = last if dash else first
    if not (_is_port(first) and _is_port(last) and int(first) <= int(last)):
        raise ValueError("must be ports and ranges such as 443,8000-9999")
    return range(int(first), int(last) + 1)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 2**16


def _is_signing_secret(text: str) -> bool:
    prefix, _, encoded = text.partition("_")
    try:
        return prefix == "whsec" and 24 <= len(base64.b64decode(encoded, validate=True)) <= 64
    except ValueError:
        return False
