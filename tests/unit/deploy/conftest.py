"""docker-compose.yml as it is written, and as Compose would fill it in for development."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
REFERENCE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<text>[^${}]*))?\}")

Service = dict[str, Any]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's top folder."""
    return ROOT


@pytest.fixture(scope="session")
def services() -> dict[str, Service]:
    """The services as written, with YAML's own merges done and no variable filled in."""
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"])


@pytest.fixture(scope="session")
def development() -> dict[str, str]:
    """What deploy/compose/dev.env sets."""
    return variables_of((ROOT / "deploy/compose/dev.env").read_text())


@pytest.fixture(scope="session")
def environments(services: dict[str, Service], development: dict[str, str]) -> dict[str, dict[str, str]]:
    """The environment of each service in development; variables passed on and not set are absent."""
    return {
        name: {
            variable: filled_in(str(value), development)
            for variable, value in (service.get("environment") or {}).items()
            if value is not None
        }
        for name, service in services.items()
    }


def variables_of(text: str) -> dict[str, str]:
    """NAME=value lines; comments and empty lines are left out."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def filled_in(text: str, variables: Mapping[str, str]) -> str:
    """Compose's interpolation of ${NAME}, ${NAME:-default} and ${NAME:?message}, from the inside out."""

    def value(found: re.Match[str]) -> str:
        known = variables.get(found["name"], "")
        assert known or found["kind"] == "-", f"{found['name']} has no value"
        return known or found["text"]

    while (once := REFERENCE.sub(value, text)) != text:
        text = once
    return text
