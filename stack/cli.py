"""The `followthrough` command. Each command imports what it needs itself, so that none waits for the others."""

import json
import os
import re
import sys
from enum import StrEnum
from typing import Annotated

import typer

from stack import deploy_cli
from stack.cli_options import DEFAULT_HOME, HomeOption, JsonOption
from stack.errors import StackError
from stack.home import Home

DEFAULT_TTL = "12h"
TTL_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}

app = typer.Typer(
    help="Runs Followthrough: the whole stack on this machine, or its parts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(deploy_cli.app, name="deploy")


class Part(StrEnum):
    """The parts that `up` can leave out."""

    WORKER = "worker"
    API = "api"


def main() -> None:
    """Run one command and end at once: a Temporal client in a short process may abort at exit (sdk-python 300)."""
    code: object = 0
    try:
        app()
    except SystemExit as ended:
        code = ended.code
    except StackError as error:
        typer.echo(error.report(), err=True)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


@app.command()
def up(
    home: HomeOption = DEFAULT_HOME,
    detach: Annotated[bool, typer.Option("--detach", help="Return once everything is healthy.")] = False,
    as_json: JsonOption = False,
    without: Annotated[list[Part] | None, typer.Option("--without", help="Leave this out; repeats.")] = None,
    report_to: Annotated[int | None, typer.Option("--report-to", hidden=True)] = None,
) -> None:
    """Start everything and keep it running: Postgres, Temporal, its Web UI, the sandbox, a worker and the API."""
    from stack import launch

    left_out = [part.value for part in without or ()]
    if report_to is not None:
        launch.supervise_detached(Home(home), left_out, report_to)
    elif detach:
        launch.detach(Home(home), left_out, as_json=as_json)
    else:
        launch.run_in_foreground(Home(home), left_out, as_json=as_json)


@app.command()
def down(home: HomeOption = DEFAULT_HOME) -> None:
    """Stop everything; data stays, and the next `up` goes on with it."""
    from stack import launch

    launch.take_down(Home(home))


@app.command()
def status(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Show what runs, where, and what it uses."""
    import asyncio

    from stack.status import look, print_table

    found = asyncio.run(look(Home(home)))
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
    else:
        print_table(found)


@app.command()
def doctor(home: HomeOption = DEFAULT_HOME) -> None:
    """Show versions, space and ports, what is missing, and what to do about it."""
    from stack.doctor import examine

    raise typer.Exit(0 if examine(Home(home)) else 1)


@app.command()
def token(
    subject: Annotated[str, typer.Option("--subject", help="Whom the token is for: a customer or an operator.")],
    scope: Annotated[list[str] | None, typer.Option("--scope", help="For example orders:write; repeats.")] = None,
    ttl: Annotated[str, typer.Option("--ttl", help="How long it lives: 90s, 15m, 12h, 7d, or seconds.")] = DEFAULT_TTL,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Print a token for the home's API, and nothing else."""
    from stack.tokens import sign_token

    place = Home(home)
    place.create()
    typer.echo(sign_token(place, subject, scope or [], _seconds(ttl)))


@app.command()
def api(home: HomeOption = DEFAULT_HOME) -> None:
    """Run the API in this process. Variables that are not set come from the home's stack."""
    from stack import run

    run.api(Home(home))


@app.command()
def worker(
    home: HomeOption = DEFAULT_HOME,
    queues: Annotated[
        str | None, typer.Option("--queues", help="The task queues to poll, separated by commas; all unless given.")
    ] = None,
) -> None:
    """Run a worker in this process. Variables that are not set come from the home's stack."""
    from stack import run

    run.worker(Home(home), _queues(queues))


@app.command()
def migrate(
    home: HomeOption = DEFAULT_HOME,
    sample_goods: Annotated[bool, typer.Option(help="Put sample goods into an empty catalogue.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail and say what is missing, if anything is.")
    ] = False,
) -> None:
    """Bring the database's tables, and Temporal's namespace, search attributes and schedules, up to date.

    Safe to repeat. Prints each schedule that it creates, updates or removes.
    """
    from stack import run

    if check:
        run.check_migrated(Home(home))
    else:
        run.migrate(Home(home), sample_goods=sample_goods)


@app.command()
def demo(home: HomeOption = DEFAULT_HOME) -> None:
    """Run eight orders through a stack, check that the books balance, and stop it."""
    from stack.demo import run

    raise typer.Exit(run(Home(home)))


def _queues(names: str | None) -> frozenset[str]:
    from contracts.queues import ALL

    polled = frozenset(ALL if names is None else names.split(","))
    if not polled <= set(ALL):
        raise typer.BadParameter(f"give some of {', '.join(ALL)}, separated by commas", param_hint="--queues")
    return polled


def _seconds(duration: str) -> int:
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", duration)
    if found is None:
        raise typer.BadParameter("give a number of seconds, or one with s, m, h or d behind it", param_hint="--ttl")
    return int(found[1]) * TTL_UNITS_S[found[2]]
