"""The collector is configured with what it is given, and listens where the others are told to send."""

import re
from pathlib import Path
from typing import Any

import yaml

Services = dict[str, dict[str, Any]]


def test_every_part_of_a_pipeline_is_configured_and_every_part_is_in_one(root: Path) -> None:
    configured = collector(root)

    [pipeline] = configured["service"]["pipelines"].values()

    assert {kind: set(configured[kind]) for kind in pipeline} == {kind: set(parts) for kind, parts in pipeline.items()}


def test_it_listens_where_the_guides_send_spans(root: Path, services: Services) -> None:
    endpoint = collector(root)["receivers"]["otlp"]["protocols"]["http"]["endpoint"]

    named = [
        re.findall(r"http://(\w+):(\d+)", line)
        for document in ("docs/deployment.md", "deploy/compose/.env.example")
        for line in (root / document).read_text().splitlines()
        if "4318" in line
    ]

    assert named == [[("collector", endpoint.rpartition(":")[2])]] * 2
    assert "collector" in services
    assert "ports" not in services["collector"]


def test_it_is_started_and_checked_with_the_file_it_is_given(services: Services) -> None:
    [mount] = services["collector"]["volumes"]
    target = mount.split(":")[1]

    assert services["collector"]["command"] == [f"--config={target}"]
    assert services["collector"]["healthcheck"]["test"][-1] == f"--config={target}"


def collector(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((root / "deploy/collector/collector.yml").read_text())
    return found
