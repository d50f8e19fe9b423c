"""Alerts, dashboard and runbooks belong together, and Prometheus scrapes what the services show."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring import ALERTS, DASHBOARD, RUNBOOKS, Query, Shown, alerts, panels, promtool, queries

Services = dict[str, dict[str, Any]]
Environments = dict[str, dict[str, str]]
Scraped = dict[str, Any]

DURATION = re.compile(r"\d+[smhd]")
RUNBOOK = re.compile(r"^### (\w+)$\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)


@pytest.fixture
def scraped(root: Path) -> Scraped:
    """The scrape configurations by their jobs."""
    configured = yaml.safe_load((root / "deploy/prometheus/prometheus.yml").read_text())
    return {one["job_name"]: one for one in configured["scrape_configs"]}


def runbooks() -> dict[str, str]:
    return dict(RUNBOOK.findall(RUNBOOKS.read_text()))


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_waits_says_how_bad_it_is_and_where_its_runbook_stands(rule: dict[str, Any]) -> None:
    assert DURATION.fullmatch(rule["for"])
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"]["summary"].endswith(".")
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page == "docs/operations.md"
    # GitHub makes anchors of headings in small letters.
    assert anchor in {heading.lower() for heading in runbooks()}
    assert anchor == rule["alert"].lower()


def test_every_runbook_is_of_an_alert_and_says_all_that_it_takes() -> None:
    found = runbooks()

    assert list(found) == [rule["alert"] for rule in alerts()]
    for alert, text in found.items():
        for part in ("**Means**", "**Look**", "**Do**", "**Over**"):
            assert part in text, f"{alert}: {part}"


def test_what_runbooks_and_guides_link_to_exists() -> None:
    folder = RUNBOOKS.parent
    for target, anchor in re.findall(r"\]\(([\w/.-]*?)(?:#([\w-]+))?\)", RUNBOOKS.read_text()):
        path = folder / target if target else RUNBOOKS
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{target}#{anchor}"


def test_the_dashboard_has_no_panel_without_a_query_and_none_twice() -> None:
    titles = [panel["title"] for panel in panels()]

    assert len(titles) == len(set(titles)) > 20
    for panel in panels():
        assert panel["targets"], panel["title"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"prometheus"}


def test_prometheus_scrapes_what_the_services_show(scraped: Scraped, environments: Environments) -> None:
    for service in ("api", "worker"):
        (found,) = scraped[f"followthrough-{service}"]["dns_sd_configs"]
        assert found["names"] == [service]
        assert str(found["port"]) == environments[service][f"FOLLOWTHROUGH_{service.upper()}_METRICS_PORT"]
    (temporal,) = scraped["temporal"]["static_configs"][0]["targets"]
    assert temporal.partition(":")[2] == environments["temporal"]["PROMETHEUS_ENDPOINT"].partition(":")[2]


def test_alerts_and_dashboard_know_the_jobs_that_are_scraped(scraped: Scraped) -> None:
    matchers = [one for query in queries() for one in query.matchers()]
    asked = [(kind, value) for name, label, kind, value in matchers if (name, label) == ("up", "job")]

    assert asked
    for kind, value in asked:
        assert any(re.fullmatch(value, job) if kind == "=~" else value == job for job in scraped), value


def test_grafana_finds_prometheus_and_the_dashboard(root: Path, services: Services) -> None:
    (source,) = yaml.safe_load((root / "deploy/grafana/datasources.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((root / "deploy/grafana/dashboards.yml").read_text())["providers"]
    mounted = {mount.split(":")[0]: mount.split(":")[1] for mount in services["grafana"]["volumes"]}

    assert source["uid"] == "prometheus"
    assert source["url"] == "http://prometheus:9090"
    assert mounted[f"./{DASHBOARD.relative_to(root)}"].startswith(provider["options"]["path"])
    assert services["prometheus"]["volumes"][1].startswith(f"./{ALERTS.relative_to(root)}:")


def test_what_the_tests_of_names_read_out_of_an_expression() -> None:
    """Else they would find fault with nothing."""
    query = Query(
        "",
        'sum by (queue, kind) (rate(followthrough_calls_total{outcome=~"a|b",of!="c"}[5m])) / up{job="d"} > absent(up)',
        frozenset({"shown"}),
    )

    assert query.metrics == {"followthrough_calls_total", "up"}
    assert query.labels == {"queue", "kind", "shown"}
    assert list(query.matchers()) == [
        ("followthrough_calls_total", "outcome", "=~", "a|b"),
        ("followthrough_calls_total", "of", "!=", "c"),
        ("up", "job", "=", "d"),
    ]
    shown = Shown(['# TYPE a counter\na_total{b="c"} 1\n'])
    assert shown.names == {"a_total"}
    assert shown.of("a_total") == {"b": {"c"}}


def test_each_alert_has_a_test_that_sees_it_fire() -> None:
    tests = yaml.safe_load(ALERTS.with_name("alerts_test.yml").read_text())["tests"]
    fired = {one["alertname"] for test in tests for one in test["alert_rule_test"] if one["exp_alerts"]}

    assert fired == {rule["alert"] for rule in alerts()}


def test_the_alerts_fire_when_they_should(root: Path) -> None:
    """`make alerts` builds promtool, which evaluates rules as Prometheus does."""
    tool = promtool()
    if tool is None:
        pytest.skip("promtool is not there: `make alerts` builds it, in 4 minutes, and the alerts are evaluated then")

    for command in (
        ("check", "config", "--syntax-only", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ):
        done = subprocess.run(
            [tool, *command], cwd=root / "deploy/prometheus", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
