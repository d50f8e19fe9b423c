"""Every environment variable the API and the worker read, with its unit and default.

API and worker read the environment nowhere else; docs/configuration.md is this file in prose.
"""

from enum import StrEnum

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ProviderCalls(StrEnum):
    """How a workflow calls a provider: first inside its own task, or always as a regular activity."""

    LOCAL_FIRST = "local_first"
    REGULAR = "regular"


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
    """Where the Temporal frontend answers."""

    model_config = SettingsConfigDict(env_prefix="TEMPORAL_", extra="ignore")

    address: str = Field(default="127.0.0.1:7233", description="host:port")
    namespace: str = "followthrough"


class OrderSettings(BaseSettings):
    """The rules an order is accepted under; they are fixed in its workflow's input."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_", extra="ignore")

    approval_threshold: int = Field(default=50_000, ge=0, description="minor units; a total above it needs approval")
    approval_deadline_s: PositiveInt = 24 * 60 * 60
    retry_window_s: PositiveInt = Field(default=600, description="how long a step is retried before the order parks")


class ApiSettings(BaseSettings):
    """The HTTP process."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_", extra="ignore")

    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=0, le=65_535)
    metrics_host: str = "127.0.0.1"
    api_metrics_port: int = Field(default=9101, ge=0, le=65_535)
    api_database_connections: PositiveInt = 10
    jwks_url: str = Field(description="https://..., or file:///... in development: the keys that sign our tokens")
    jwt_issuer: str = "followthrough"
    jwt_audience: str = "followthrough-api"
    rate_limit_per_second: PositiveFloat = 200.0
    rate_limit_burst: PositiveInt = 1_000
    sign_ups_per_minute: PositiveInt = Field(default=60, description="for an address")


class WorkerSettings(BaseSettings):
    """The worker process and the providers its activities call."""

    model_config = SettingsConfigDict(env_prefix="FOLLOWTHROUGH_", extra="ignore")

    metrics_host: str = "127.0.0.1"
    worker_metrics_port: int = Field(default=9102, ge=0, le=65_535)
    worker_database_connections: PositiveInt = 10
    provider_calls: ProviderCalls = ProviderCalls.LOCAL_FIRST
    provider_timeout_s: PositiveFloat = Field(default=5.0, description="a provider silent for longer is given up on")
    settling_window_s: PositiveFloat = Field(
        default=60.0, description="how long after a call its absence from a provider's search proves nothing"
    )
    payments_url: str = Field(default="https://api.stripe.com", description="speaks Stripe's wire format")
    payments_api_key: SecretStr
    carrier_url: str
    carrier_api_key: SecretStr
