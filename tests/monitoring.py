"""What deploy/ asks of Prometheus, and what our processes show to it."""

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from stack.temporal_build import cache_folder

ROOT = Path(__file__).parents[1]
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARD = ROOT / "deploy/grafana/followthrough.json"
RUNBOOKS = ROOT / "docs/operations.md"

# Prometheus adds these itself, and `up` has nothing but them.
OF_TARGETS = {"job", "instance"}
SELECTOR = re.compile(r"(?<![\w\"])((?:followthrough|temporal)_\w+|up)(?![\w(\"])(?:\{(?P<matchers>[^}]*)\})?")
MATCHER = re.compile(r"(?P<label>\w+)\s*(?P<kind>=~|!~|!=|=)\s*\"(?P<value>[^\"]*)\"")
GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\((?P<labels>[^)]*)\)")
RENAMED = re.compile(r"label_replace\(.*?,\s*\"(?P<label>\w+)\",")
TEMPLATE = re.compile(r"\{\{\s*(?:\$labels\.)?(?P<label>\w+)\s*\}\}")


@dataclass(frozen=True)
class Query:
    """A PromQL expression, and the labels that the text beside it shows."""

    where: str
    expression: str
    shown: frozenset[str]

    @property
    def metrics(self) -> set[str]:
        return {found[1] for found in SELECTOR.finditer(self.expression)}

    @property
    def labels(self) -> set[str]:
        """Every label that it groups by, or shows; those that it makes itself are left out."""
        grouped = {
            label.strip()
            for found in GROUPING.finditer(self.expression)
            for label in found["labels"].split(",")
            if label.strip()
        }
        return (grouped | self.shown) - {found["label"] for found in RENAMED.finditer(self.expression)}

    def matchers(self) -> Iterator[tuple[str, str, str, str]]:
        """Each as the metric, the label, the kind of comparison and the value."""
        for selector in SELECTOR.finditer(self.expression):
            for found in MATCHER.finditer(selector["matchers"] or ""):
                yield selector[1], found["label"], found["kind"], found["value"]


def promtool() -> str | None:
    """Where it is, if it is anywhere: `make alerts` builds it."""
    return shutil.which("promtool") or shutil.which("promtool", path=str(cache_folder() / "promtool"))


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def panels() -> list[dict[str, Any]]:
    """Those that ask for something."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def queries() -> list[Query]:
    """All of the alerts and of the dashboard."""
    asked = [Query(rule["alert"], rule["expr"], _shown(rule["annotations"]["summary"])) for rule in alerts()]
    for panel in panels():
        asked += [Query(panel["title"], one["expr"], _shown(one["legendFormat"])) for one in panel["targets"]]
    return asked


def _shown(text: str) -> frozenset[str]:
    return frozenset(found["label"] for found in TEMPLATE.finditer(text))


class Shown:
    """What /metrics of several processes show: for each name its labels, and their values."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.values: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.helps: dict[str, str] = {}
        self.units: dict[str, str] = {}
        for text in texts:
            for family in text_string_to_metric_families(text):
                self.helps[family.name] = family.documentation
                for sample in family.samples:
                    # One without labels is shown all the same.
                    labels = self.values[sample.name]
                    for label, value in sample.labels.items():
                        labels[label].add(value)

    @property
    def names(self) -> set[str]:
        return set(self.values)

    def labels(self, name: str) -> set[str]:
        return OF_TARGETS | set(self.values[name])

    def of(self, name: str) -> Mapping[str, set[str]]:
        return self.values[name]
