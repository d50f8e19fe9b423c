"""`followthrough deploy`: which version of the workers gets what is new. docs/deployment.md says when to use which."""

import asyncio
import json
from typing import Annotated

import typer

from stack.cli_options import DEFAULT_HOME, HomeOption, JsonOption
from stack.home import Home

BuildIdOption = Annotated[
    str | None, typer.Option("--build-id", help="The version; FOLLOWTHROUGH_BUILD_ID of this very code unless given.")
]
PercentageOption = Annotated[float, typer.Option("--percentage", min=0, max=100, help="Of new workflows; 0 ends it.")]

app = typer.Typer(
    help="Says which version of the workers gets new workflows, where they have versions.", no_args_is_help=True
)


@app.command()
def promote(build_id: BuildIdOption = None, home: HomeOption = DEFAULT_HOME) -> None:
    """Give a version everything new. Orders that have begun stay with the version that began them."""
    from stack.deployments import with_deployment
    from stack.run import joined

    with joined(Home(home)):
        wanted = build_id or _own_build_id()
        asyncio.run(with_deployment(lambda deployment: deployment.promote(wanted)))
    typer.echo(f"{wanted} is current")


@app.command()
def ramp(percentage: PercentageOption, build_id: BuildIdOption = None, home: HomeOption = DEFAULT_HOME) -> None:
    """Give a version a share of what is new."""
    from stack.deployments import with_deployment
    from stack.run import joined

    with joined(Home(home)):
        wanted = build_id or _own_build_id()
        asyncio.run(with_deployment(lambda deployment: deployment.ramp(wanted, percentage)))
    typer.echo(f"{wanted} gets {percentage:g} % of what is new")


@app.command()
def rollback(home: HomeOption = DEFAULT_HOME) -> None:
    """End the ramp; where there is none, make current what was current before. Not where the release added a patch."""
    from stack.deployments import with_deployment
    from stack.run import joined

    with joined(Home(home)):
        typer.echo(asyncio.run(with_deployment(lambda deployment: deployment.rollback())))


@app.command("drain-status")
def drain_status(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List the versions, and say of which the workers may be stopped."""
    from stack.deployments import with_deployment
    from stack.run import joined

    with joined(Home(home)):
        found = asyncio.run(with_deployment(lambda deployment: deployment.versions()))
    if as_json:
        typer.echo(json.dumps([version.as_json() for version in found], indent=2))
        return
    for version in found:
        share = f", {version.share:g} % of what is new" if version.share else ""
        stop = "its workers may be stopped" if version.may_stop else "keep its workers"
        typer.echo(f"{version.build_id}: {version.status}{share} (since {version.since or 'never'}); {stop}")


def _own_build_id() -> str:
    from settings import DeploymentSettings

    return DeploymentSettings().build_id
