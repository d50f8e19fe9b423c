"""Decides what a stack runs itself and where everything is: from the home, the environment and what is left out."""

from collections.abc import Collection, Mapping

from settings import TemporalSettings
from stack.environment import (
    API_HOST,
    CARRIER_URL,
    DATABASE_URL,
    PAYMENTS_URL,
    PORT_VARIABLES,
    SMTP_HOST,
    TEMPORAL_ADDRESS,
    TEMPORAL_NAMESPACE,
    TEMPORAL_UI_URL,
)
from stack.errors import StackError
from stack.home import State
from stack.ports import FREE_PORTS, LOOPBACK, PortReservations, choose_ports
from stack.temporal_server import port_names

LEFT_OUT = "left out"
BROUGHT_ALONG = "brought along"


def absent_processes(environment: Mapping[str, str], without: Collection[str]) -> dict[str, str]:
    """The processes not to run, and why."""
    absent = dict.fromkeys(without, LEFT_OUT)
    if TEMPORAL_ADDRESS in environment:
        absent["temporal"] = BROUGHT_ALONG
        if DATABASE_URL in environment:
            absent["postgres"] = BROUGHT_ALONG
    if TEMPORAL_UI_URL in environment:
        absent["temporal-ui"] = BROUGHT_ALONG
    if all(provider in environment for provider in (PAYMENTS_URL, CARRIER_URL, SMTP_HOST)):
        absent["sandbox"] = BROUGHT_ALONG
    return absent


def lay_out(state: State, environment: Mapping[str, str], absent: Mapping[str, str], held: PortReservations) -> None:
    """Fill in ports and addresses. Raises StackError when a told port is taken."""
    names = PORT_VARIABLES | {name: _variable_of(name) for name in port_names() if name not in PORT_VARIABLES}
    ports = choose_ports(names, environment, state.ports, held)
    if "temporal" not in absent and ports["temporal"] not in range(FREE_PORTS.stop):
        raise StackError(
            f"Temporal cannot use port {ports['temporal']}: it stores its port as a smallint",
            remedy=f"set {PORT_VARIABLES['temporal']} to a port below {FREE_PORTS.stop}, or unset it",
        )
    state.ports = ports
    state.absent = dict(absent)
    state.api_url = None if "api" in absent else _url(ports["api"], _reachable(environment.get(API_HOST, LOOPBACK)))
    state.temporal_address = environment.get(TEMPORAL_ADDRESS, f"{LOOPBACK}:{ports['temporal']}")
    state.temporal_namespace = environment.get(
        TEMPORAL_NAMESPACE, str(TemporalSettings.model_fields["namespace"].default)
    )
    state.temporal_http_url = None if "temporal" in absent else _url(ports["temporal_http"])
    state.temporal_ui_url = environment.get(TEMPORAL_UI_URL, _url(ports["temporal_ui"]))
    state.database_url = environment.get(DATABASE_URL)
    state.app_database_url = None
    state.sandbox_url = None if "sandbox" in absent else _url(ports["sandbox"])
    state.smtp_address = None if "sandbox" in absent else f"{LOOPBACK}:{ports['sandbox_smtp']}"
    state.metrics = {
        name: f"{_url(ports[f'{name}_metrics'])}/metrics" for name in ("api", "worker") if name not in absent
    }


def _url(port: int, host: str = LOOPBACK) -> str:
    return f"http://{host}:{port}"


def _reachable(listening_on: str) -> str:
    """Where to call who listens there; who listens everywhere is called on loopback."""
    return LOOPBACK if listening_on in ("0.0.0.0", "::") else listening_on  # noqa: S104  # compared, not bound


def _variable_of(port_name: str) -> str:
    return f"FOLLOWTHROUGH_{port_name.upper()}_PORT"
