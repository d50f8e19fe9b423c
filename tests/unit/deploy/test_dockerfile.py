"""deploy/Dockerfile: what it takes exists, and its last stage is small, unprivileged and ours."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

Services = dict[str, dict[str, Any]]


@pytest.fixture
def stages(root: Path) -> list[list[str]]:
    """The instructions of each stage, comments left out and lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (root / "deploy/Dockerfile").read_text(), flags=re.MULTILINE)
    lines = [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if line.strip()]
    starts = [number for number, line in enumerate(lines) if line.startswith("FROM ")]
    return [lines[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


@pytest.fixture
def let_in(root: Path) -> set[str]:
    """What .dockerignore lets into the build."""
    lines = (root / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    return {pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")}


def test_stages_start_from_the_same_small_python_with_a_version(root: Path, stages: list[list[str]]) -> None:
    images = {stage[0].split()[1] for stage in stages}

    (image,) = images
    version = re.fullmatch(r"python:3\.(\d+)-slim-\w+", image)
    assert version is not None
    needed = tomllib.loads((root / "pyproject.toml").read_text())["project"]["requires-python"]
    assert int(version[1]) >= int(needed.removeprefix(">=3."))
    assert len(stages) == 2


def test_everything_copied_in_exists_and_is_let_in(root: Path, stages: list[list[str]], let_in: set[str]) -> None:
    copied = [line.split()[1] for line in stages[0] if line.startswith("COPY ")]

    assert copied[-1] == "."
    assert set(copied[:-1]) <= let_in
    assert all((root / path).exists() for path in let_in)


def test_what_is_let_in_is_what_the_wheel_is_made_of(root: Path, let_in: set[str]) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())
    setuptools = project["tool"]["setuptools"]
    packages = {name.removesuffix("*") for name in setuptools["packages"]["find"]["include"]}
    modules = {f"{name}.py" for name in setuptools["py-modules"]}

    assert let_in == packages | modules | {
        "pyproject.toml",
        project["project"]["readme"],
        "requirements/runtime.txt",
        "deploy/build-requirements.txt",
    }


def test_packages_are_installed_by_hash_and_the_project_without_any(stages: list[list[str]]) -> None:
    installs = [
        command
        for line in stages[0]
        if line.startswith("RUN ")
        for command in line.removeprefix("RUN ").split(" && ")
        if re.search(r"\bpip .*(install|wheel) ", command) and " uninstall " not in command
    ]

    assert len(installs) == 4
    for command in installs:
        if "-r " in command:
            assert "--require-hashes --only-binary :all:" in command
        else:
            assert "--no-index --no-deps" in command


def test_what_builds_the_wheel_is_locked_as_in_development(root: Path) -> None:
    own = _locked((root / "deploy/build-requirements.txt").read_text())

    assert own.items() <= _locked((root / "requirements/dev.txt").read_text()).items()
    assert len(own) == 1


def test_the_last_stage_installs_nothing_and_runs_as_nobody_special(
    stages: list[list[str]], services: Services
) -> None:
    last = stages[-1]

    assert not [line for line in last if re.search(r"apt|pip (install|wheel)|curl|wget", line)]
    assert "COPY --from=build /opt/followthrough /opt/followthrough" in last
    (user,) = [line.removeprefix("USER ") for line in last if line.startswith("USER ")]
    assert user == services["api"]["user"]
    uid, _, gid = user.partition(":")
    assert f"--uid {uid} --gid {gid}" in " ".join(last)
    assert f"--owner={uid} --group={gid}" in " ".join(last)


def test_it_starts_our_command_itself_so_that_signals_reach_it(root: Path, stages: list[list[str]]) -> None:
    (entrypoint,) = [line for line in stages[-1] if line.startswith("ENTRYPOINT ")]
    scripts = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]

    assert json.loads(entrypoint.removeprefix("ENTRYPOINT ")) == ["followthrough"]
    assert "followthrough" in scripts


def test_the_folders_of_volumes_are_made_in_the_image(stages: list[list[str]], services: Services) -> None:
    mounted = {
        mount.split(":")[1]
        for service in services.values()
        if "build" in service
        for mount in service.get("volumes", ())
    }

    (made,) = [line for line in stages[-1] if "install --directory --owner=10001" in line]
    assert mounted <= set(made.split())


def test_its_ports_are_those_of_the_compose_file(
    stages: list[list[str]], environments: dict[str, dict[str, str]]
) -> None:
    (exposed,) = [line.split()[1:] for line in stages[-1] if line.startswith("EXPOSE ")]

    assert exposed == [
        environments["api"]["FOLLOWTHROUGH_API_PORT"],
        environments["api"]["FOLLOWTHROUGH_API_METRICS_PORT"],
        environments["worker"]["FOLLOWTHROUGH_WORKER_METRICS_PORT"],
    ]


def _locked(lock: str) -> dict[str, list[str]]:
    """Each pinned requirement with its hashes."""
    found = re.findall(r"^(\S+==\S+) ((?:\\\n\s+--hash=\S+ ?)+)", lock, re.MULTILINE)
    return {requirement: re.findall(r"--hash=(\S+)", hashes) for requirement, hashes in found}
