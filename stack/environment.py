"""The environment variables that join the API, the worker and `migrate` to a home's stack.

What the caller has set always wins: that is how one brings one's own Postgres, Temporal or providers.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from stack.home import Home, State
from stack.ports import LOOPBACK

DATABASE_URL = "DATABASE_URL"
TEMPORAL_ADDRESS = "TEMPORAL_ADDRESS"
TEMPORAL_NAMESPACE = "TEMPORAL_NAMESPACE"
API_HOST = "FOLLOWTHROUGH_API_HOST"
TEMPORAL_UI_URL = "FOLLOWTHROUGH_TEMPORAL_UI_URL"
PAYMENTS_URL = "FOLLOWTHROUGH_PAYMENTS_URL"
CARRIER_URL = "FOLLOWTHROUGH_CARRIER_URL"
# How to get into the Temporal of that address.
TEMPORAL_ACCESS = (
    "TEMPORAL_TLS",
    "TEMPORAL_TLS_SERVER_CA_CERT_PATH",
    "TEMPORAL_TLS_SERVER_NAME",
    "TEMPORAL_TLS_CLIENT_CERT_PATH",
    "TEMPORAL_TLS_CLIENT_KEY_PATH",
    "TEMPORAL_API_KEY",
)
SMTP_HOST = "FOLLOWTHROUGH_SMTP_HOST"
SMTP_PORT = "FOLLOWTHROUGH_SMTP_PORT"
SMTP_SECURITY = "FOLLOWTHROUGH_SMTP_SECURITY"
DIGEST_TO = "FOLLOWTHROUGH_DIGEST_TO"
# `true` has the stack encrypt payloads, from then on, with a key of the home's own.
ENCRYPT_PAYLOADS = "FOLLOWTHROUGH_ENCRYPT_PAYLOADS"
PAYLOAD_KEYS = "FOLLOWTHROUGH_PAYLOAD_KEYS"
CODEC_ORIGINS = "FOLLOWTHROUGH_CODEC_ORIGINS"
# The ports that `up` opens, each with the variable that tells it; a port that no variable tells is a free one.
PORT_VARIABLES = {
    "postgres": "FOLLOWTHROUGH_POSTGRES_PORT",
    "temporal": "FOLLOWTHROUGH_TEMPORAL_PORT",
    "temporal_ui": "FOLLOWTHROUGH_TEMPORAL_UI_PORT",
    "sandbox": "FOLLOWTHROUGH_SANDBOX_PORT",
    "sandbox_smtp": "FOLLOWTHROUGH_SANDBOX_SMTP_PORT",
    "api": "FOLLOWTHROUGH_API_PORT",
    "api_metrics": "FOLLOWTHROUGH_API_METRICS_PORT",
    "worker_metrics": "FOLLOWTHROUGH_WORKER_METRICS_PORT",
}
# Every process but Postgres carries this, so that one whose start was never written down can still be found.
HOME_MARK = "FOLLOWTHROUGH_STACK_HOME"


def joined_to(home: Home, environment: Mapping[str, str]) -> dict[str, str]:
    """The given environment, completed from the home's stack where there is one."""
    return _completed(environment, home, home.state()) if home.exists else dict(environment)


def supervised(home: Home, state: State, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that `up` runs: joined, with the ports kept for it."""
    ports = {PORT_VARIABLES[name]: str(port) for name, port in state.ports.items() if name in PORT_VARIABLES}
    return {**_completed(environment, home, state), **ports, HOME_MARK: str(home.path)}


def web_ui_origins(url: str) -> str:
    """What browsers call the origin of the Web UI at this URL; on this machine it goes by two names."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    return f"{origin},http://localhost:{parts.port}" if parts.hostname == LOOPBACK else origin


def as_owner(state: State, environment: Mapping[str, str]) -> dict[str, str]:
    """What `migrate` needs besides: the role that owns the tables. The API and the worker have one that does not."""
    if DATABASE_URL in environment or state.database_url is None:
        return {}
    return {DATABASE_URL: state.database_url}


def _completed(environment: Mapping[str, str], home: Home, state: State) -> dict[str, str]:
    stack = _of_stack(home, state)
    if SMTP_HOST in environment:
        # What is true of the sandbox says nothing about that host.
        stack = {name: value for name, value in stack.items() if name not in (SMTP_PORT, SMTP_SECURITY, DIGEST_TO)}
    if TEMPORAL_ADDRESS not in environment and "temporal" not in state.absent:
        # What the caller uses another Temporal with says nothing about the stack's own. Settings take no empty values.
        environment = {**environment, **dict.fromkeys(environment.keys() & TEMPORAL_ACCESS, "")}
    return {**stack, **environment}


def _of_stack(home: Home, state: State) -> dict[str, str]:
    secrets = home.secrets()
    known = {
        DATABASE_URL: state.app_database_url or state.database_url,
        TEMPORAL_ADDRESS: state.temporal_address,
        TEMPORAL_NAMESPACE: state.temporal_namespace,
        TEMPORAL_UI_URL: state.temporal_ui_url,
        "FOLLOWTHROUGH_JWKS_URL": home.jwks.as_uri(),
        "FOLLOWTHROUGH_CONFIRMATION_SECRET": secrets.confirmation_secret,
        "FOLLOWTHROUGH_SESSION_SECRET": secrets.session_secret,
        "FOLLOWTHROUGH_OBJECT_STORE_URL": home.files.as_uri(),
        PAYLOAD_KEYS: secrets.payload_keys or None,
        CODEC_ORIGINS: web_ui_origins(str(state.temporal_ui_url)),
        "FOLLOWTHROUGH_CONFIRMATION_URL": state.api_url and f"{state.api_url}/confirm",
    }
    if state.sandbox_url is not None:
        known |= {
            PAYMENTS_URL: f"{state.sandbox_url}/payments",
            "FOLLOWTHROUGH_PAYMENTS_API_KEY": secrets.payments_api_key,
            CARRIER_URL: f"{state.sandbox_url}/carrier",
            "FOLLOWTHROUGH_CARRIER_API_KEY": secrets.carrier_api_key,
            "FOLLOWTHROUGH_PAYMENTS_WEBHOOK_SECRET": secrets.payments_webhook_secret,
            "FOLLOWTHROUGH_CARRIER_WEBHOOK_SECRET": secrets.carrier_webhook_secret,
        }
    if state.smtp_address is not None:
        known[SMTP_HOST], _, known[SMTP_PORT] = state.smtp_address.rpartition(":")
        known[SMTP_SECURITY] = "none"
        known[DIGEST_TO] = "operators@followthrough.example"
    return {name: value for name, value in known.items() if value is not None}
