"""Runs one part of the project in this very process, joined to a home's stack where the environment says nothing."""

import os
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager

import typer
from pydantic import ValidationError

from stack.environment import HOME_MARK, PORT_VARIABLES, as_owner, joined_to
from stack.errors import StackError
from stack.home import Home
from stack.ports import PortReservations


def api(home: Home) -> None:
    """Serve the API until told to stop."""
    with joined(home, "api", "api_metrics"):
        import uvicorn

        from settings import ApiSettings

        settings = ApiSettings()
        uvicorn.run(
            "api.app:create_app",
            factory=True,
            host=settings.api_host,
            port=settings.api_port,
            loop="uvloop",
            http="api.connections:HttpProtocol",
            ws="api.connections:WebSocketProtocol",
            # Clients have little to say, and what they are told is short.
            ws_max_size=64 * 1024,
            ws_per_message_deflate=False,
            ws_ping_interval=15,
            access_log=False,
            server_header=False,
            log_config=None,
            # Longer than proxies and clients keep an idle connection, so that none is closed as they send on it.
            timeout_keep_alive=75,
            # Streams to clients end at once; this is for those that don't read.
            timeout_graceful_shutdown=5,
        )


def worker(home: Home, queues: Collection[str]) -> None:
    """Poll these queues until told to stop."""
    with joined(home, "worker_metrics"):
        import worker as worker_process

        worker_process.main(queues)


def migrate(home: Home, *, sample_goods: bool) -> None:
    """Prepare the database and Temporal, and with `sample_goods` put something on sale where nothing is."""
    with _joined_as_owner(home):
        from stack.migration import migrate as bring_up_to_date
        from stack.sample_goods import stock_an_empty_catalogue

        for change in bring_up_to_date():
            typer.echo(change)
        if sample_goods:
            stock_an_empty_catalogue()


def check_migrated(home: Home) -> None:
    """Raise StackError with all that `migrate` would have to do, if there is anything."""
    with _joined_as_owner(home):
        from stack.migration import missing

        if found := missing():
            raise StackError("; ".join(found), remedy="run `followthrough migrate`")


@contextmanager
def _joined_as_owner(home: Home) -> Iterator[None]:
    owner = as_owner(home.state(), os.environ) if home.exists else {}
    with joined(home):
        os.environ.update(owner)
        yield


@contextmanager
def joined(home: Home, *own_ports: str) -> Iterator[None]:
    """Complete the environment, and tell what is missing from it in words."""
    os.environ.update(joined_to(home, os.environ))
    try:
        with ExitStack() as kept:
            if home.exists and HOME_MARK not in os.environ:
                _choose_ports(home, own_ports, kept)
            yield
    except ValidationError as error:
        raise StackError(
            f"{error.title} cannot be read from the environment: "
            + "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()),
            remedy=f"set what is missing (settings.py names it), or run `followthrough up --home {home.path}` first",
        ) from error


def _choose_ports(home: Home, names: tuple[str, ...], kept: ExitStack) -> None:
    """Started by hand beside a stack: the ports of the part that `up` left out, or free ones if they are taken.

    They are ours until we end: whoever is started in the same moment finds nobody listening there yet.
    """
    held = PortReservations()
    kept.callback(held.release)
    known = home.state().ports
    for name in names:
        if PORT_VARIABLES[name] not in os.environ:
            usable = name in known and kept.enter_context(home.claimed(name)) and held.take_if_free(known[name])
            os.environ[PORT_VARIABLES[name]] = str(known[name] if usable else held.take_free())
