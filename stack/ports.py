"""Ports: told, remembered, or free ones, and held for as long as the stack runs."""

import contextlib
import random
import socket
from collections.abc import Mapping

import psutil

from stack.errors import StackError

LOOPBACK = "127.0.0.1"
# Below those the kernel gives to outgoing connections, and within what Temporal can store: a smallint.
FREE_PORTS = range(10_000, 32_768)
TRIES = 200


class PortReservations:
    """Keeps ports for the processes that listen on them, also while one of these is being restarted.

    Each is bound, never listened on. A process that sets SO_REUSEADDR, as all of ours do, can bind beside us, while
    another stack's search for a free port passes it by.
    """

    def __init__(self) -> None:
        self._held: dict[int, socket.socket] = {}

    def take_free(self) -> int:
        """Hold a port that nobody uses."""
        for port in random.sample(FREE_PORTS, TRIES):
            held = socket.socket()
            try:
                held.bind((LOOPBACK, port))
            except OSError:
                held.close()
                continue
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._held[port] = held
            return port
        raise StackError(
            f"no free port among {TRIES} tried from {FREE_PORTS.start} to {FREE_PORTS.stop - 1}",
            remedy="stop what listens on so many ports",
        )

    def take_if_free(self, port: int) -> bool:
        """Hold this very port. False when someone listens there."""
        if port in self._held:
            return False
        held = socket.socket()
        # Connections of an earlier run may still be in TIME_WAIT on it, which only SO_REUSEADDR looks past.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind((LOOPBACK, port))
        except OSError:
            held.close()
            return False
        self._held[port] = held
        return True

    def release(self) -> None:
        for held in self._held.values():
            held.close()
        self._held.clear()


def choose_ports(
    names: Mapping[str, str], environment: Mapping[str, str], remembered: Mapping[str, int], held: PortReservations
) -> dict[str, int]:
    """A port for each name: the one its environment variable tells, the one of last time, or a free one.

    `names` maps a port's name to that variable. Raises StackError when a told port is taken.
    """
    told = {
        name: _port_in(environment[variable], variable) for name, variable in names.items() if variable in environment
    }
    for name, port in told.items():
        if port and not held.take_if_free(port):
            raise StackError(
                f"port {port} for {name} is in use{_owner_of(port)}",
                remedy=f"stop what listens there, or set {names[name]} to another port (unset it for a free one)",
            )
    chosen = {name: port for name, port in told.items() if port}
    for name in names:
        if name in chosen:
            continue
        last = remembered.get(name)
        chosen[name] = last if last is not None and held.take_if_free(last) else held.take_free()
    return chosen


def _port_in(value: str, variable: str) -> int:
    if value.isascii() and value.isdigit() and int(value) < 65_536:
        return int(value)
    raise StackError(f"{variable}={value} is not a port", remedy="give a number from 0 to 65535; 0 means any free one")


def _owner_of(port: int) -> str:
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and port in connection.laddr and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
