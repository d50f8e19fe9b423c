"""docker-compose.yml holds what it promises, and everything it names exists."""

import re
import subprocess
import sys
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer
import yaml
from starlette.applications import Starlette
from starlette.routing import Match

from activities import outbox_relay
from api.services import EXPORT_CONNECTIONS
from hosting import upkeep
from sandbox.app import build_app
from sandbox.faults import Faults
from sandbox.ledger import Ledger
from sandbox.waiting import Waiting
from settings import ApiSettings, JobSettings, WebhookWorkerSettings, WorkerSettings
from stack import postgres, temporal_server
from stack.cli import app as command_line

Service = dict[str, Any]
Services = dict[str, Service]
Environments = dict[str, dict[str, str]]

ROOT = Path(__file__).parents[3]
ONE_SHOT = {"temporal-schema", "migrate", "signing-key"}
DEVELOPMENT_ONLY = {"signing-key", "sandbox", "mailpit"}
MONITORING = {"prometheus", "grafana", "collector"}
HEALTH_URL = re.compile(r"http://127\.0\.0\.1:\d+/[^'\"\s]*")
# Left out of the containers' dynamic configuration: time skipping is for tests, the limits for a machine of one's own.
NOT_IN_CONTAINERS = re.compile(r".*(TimeSkippingEnabled|RefreshInterval|[rR][pP][sS].*|persistenceMaxQPS)")


def test_it_is_valid_by_the_compose_specification(root: Path) -> None:
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"),
            root / "docker-compose.yml",
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_image_has_a_version(services: Services) -> None:
    for name, service in services.items():
        tag = service["image"].partition(":")[2]
        assert tag, name
        assert not tag.startswith("latest"), name


def test_temporals_images_are_of_the_version_that_the_embedded_stack_builds(root: Path, services: Services) -> None:
    pinned = (root / "tools/temporal/go.mod").read_text()
    server = _pinned(pinned, "go.temporal.io/server")
    user_interface = _pinned(pinned, "github.com/temporalio/ui-server/v2")

    tags = {name: services[name]["image"].partition(":")[2] for name in services}

    assert tags["temporal"] == tags["temporal-schema"]
    # The schema belongs to the minor version; patches of it are released as images later than as modules.
    assert tags["temporal"].split(".")[:2] == server.split(".")[:2]
    assert tags["temporal-ui"] == user_interface


def test_what_runs_on_is_restarted_and_watched(services: Services) -> None:
    for name in services.keys() - ONE_SHOT:
        assert services[name]["restart"] == "unless-stopped", name
        assert services[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name
    for name in ONE_SHOT:
        assert services[name]["restart"] == "no", name


def test_each_waits_for_what_it_needs_to_be_ready(services: Services) -> None:
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            ready = "service_completed_successfully" if needed in ONE_SHOT else "service_healthy"
            assert how["condition"] == ready, f"{name} -> {needed}"
            # What production doesn't have must not be waited for there.
            optional = needed in DEVELOPMENT_ONLY and name not in DEVELOPMENT_ONLY
            assert how.get("required", True) is not optional, f"{name} -> {needed}"
    assert _waits_for(services, "api") >= {"postgres", "temporal-schema", "temporal", "migrate", "signing-key"}
    assert _waits_for(services, "worker") >= {"postgres", "temporal-schema", "temporal", "migrate", "sandbox"}


def test_stand_ins_are_for_development_alone(services: Services) -> None:
    assert {name for name, service in services.items() if service.get("profiles") == ["dev"]} == DEVELOPMENT_ONLY
    assert {name for name, service in services.items() if service.get("profiles")} == DEVELOPMENT_ONLY | MONITORING


def test_no_container_runs_as_root_or_can_become_root(services: Services) -> None:
    for name, service in services.items():
        user, _, group = service["user"].partition(":")
        assert int(user) > 0, name
        assert int(group) > 0, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged", False), name


def test_no_container_but_the_database_can_write_to_its_image(services: Services) -> None:
    assert {name for name, service in services.items() if not service.get("read_only")} == {"postgres"}


def test_ports_are_published_on_loopback_alone(services: Services) -> None:
    for name, service in services.items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name}: {port}"
    assert not services["postgres"].get("ports")
    assert not services["temporal"].get("ports")


def test_published_ports_are_those_the_services_listen_on(services: Services, environments: Environments) -> None:
    listening = {
        "api": environments["api"]["FOLLOWTHROUGH_API_PORT"],
        "temporal-ui": environments["temporal-ui"]["TEMPORAL_UI_PORT"],
        "sandbox": _option(services["sandbox"]["command"], "--port"),
        "mailpit": "8025",
        "prometheus": "9090",
        "grafana": "3000",
    }

    published = {name: service["ports"] for name, service in services.items() if "ports" in service}

    assert {name: [port.rpartition(":")[2] for port in ports] for name, ports in published.items()} == {
        name: [port] for name, port in listening.items()
    }


def test_every_command_is_one_of_ours_with_options_it_has(services: Services) -> None:
    group = typer.main.get_command(command_line)
    context = group.make_context("followthrough", [], resilient_parsing=True)
    for name in ("api", "worker", "migrate", "signing-key"):
        assert "entrypoint" not in services[name], name
        command_name, *arguments = services[name]["command"]
        command = group.get_command(context, command_name)  # type: ignore[attr-defined]  # it is a group
        assert command is not None, f"there is no `followthrough {command_name}`"
        # Raises for an option that the command doesn't have, or for one that it lacks.
        command.make_context(command_name, list(arguments))


def test_the_documented_way_to_a_token_works(root: Path) -> None:
    documented = re.search(r"docker compose exec api followthrough (token [^\n]+)", _read(root, "docs/deployment.md"))
    assert documented is not None
    group = typer.main.get_command(command_line)
    context = group.make_context("followthrough", [], resilient_parsing=True)

    command = group.get_command(context, "token")  # type: ignore[attr-defined]  # it is a group

    command.make_context("token", documented[1].rstrip(")").split()[1:])


def test_the_sandbox_is_started_with_options_it_has(root: Path, services: Services) -> None:
    sandbox = services["sandbox"]
    assert sandbox["entrypoint"] == ["python", "-m", "sandbox"]
    assert (root / "sandbox/__main__.py").is_file()

    asked = subprocess.run(
        [sys.executable, "-m", "sandbox", "--help"], cwd=root, capture_output=True, text=True, check=True
    )

    for option in (word for word in sandbox["command"] if word.startswith("--")):
        assert option in asked.stdout


def test_the_sandbox_answers_its_health_check(services: Services, tmp_path: Path) -> None:
    url = _health_url(services["sandbox"])

    with closing(Ledger(tmp_path / "ledger.sqlite3")) as ledger:
        assert _has_route(build_app(ledger, Faults(), Waiting()), url.path)
    assert str(url.port) == _option(services["sandbox"]["command"], "--port")


@pytest.mark.skipif(not (ROOT / "api/app.py").exists(), reason="the API isn't written yet")
def test_the_api_answers_its_health_check(
    services: Services, environments: Environments, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = _health_url(services["api"])
    for variable, value in environments["api"].items():
        monkeypatch.setenv(variable, value)

    api = import_module("api.app").create_app()

    assert _has_route(api, url.path)
    assert str(url.port) == environments["api"]["FOLLOWTHROUGH_API_PORT"]


def test_the_worker_is_asked_where_it_shows_its_metrics(services: Services, environments: Environments) -> None:
    url = _health_url(services["worker"])

    assert str(url.port) == environments["worker"]["FOLLOWTHROUGH_WORKER_METRICS_PORT"]


def test_temporal_is_asked_where_it_listens(services: Services, environments: Environments) -> None:
    ports = {urlsplit(url).port for url in HEALTH_URL.findall(services["temporal"]["healthcheck"]["test"][1])}

    assert ports == {int(environments["temporal"]["FRONTEND_HTTP_PORT"])}
    assert environments["migrate"]["TEMPORAL_ADDRESS"] == f"temporal:{environments['temporal']['FRONTEND_GRPC_PORT']}"
    assert environments["temporal-ui"]["TEMPORAL_ADDRESS"] == environments["migrate"]["TEMPORAL_ADDRESS"]


def test_temporal_is_set_up_as_in_the_embedded_stack(root: Path, environments: Environments) -> None:
    server = environments["temporal"]

    assert server["DBNAME"] == temporal_server.DATABASE
    assert server["VISIBILITY_DBNAME"] == temporal_server.VISIBILITY_DATABASE
    assert server["NUM_HISTORY_SHARDS"] == str(temporal_server.SHARDS)
    assert server["SQL_MAX_CONNS"] == server["SQL_MAX_IDLE_CONNS"] == temporal_server.SQL_CONNECTIONS
    assert server["SQL_VIS_MAX_CONNS"] == server["SQL_VIS_MAX_IDLE_CONNS"] == temporal_server.VISIBILITY_CONNECTIONS
    assert server["DB"] == environments["temporal-schema"]["SQL_PLUGIN"]
    schema = _read(root, "deploy/compose/temporal/schema.sh")
    assert dict(re.findall(r"^bring_up_to_date (\S+) (\S+)$", schema, re.MULTILINE)) == temporal_server.SCHEMAS


def test_postgres_takes_as_many_connections_as_all_pools_may_hold(services: Services) -> None:
    temporal = 4 * (int(temporal_server.SQL_CONNECTIONS) + int(temporal_server.VISIBILITY_CONNECTIONS))
    api = ApiSettings.model_fields["api_database_connections"].default + EXPORT_CONNECTIONS + 1
    pools = [
        WorkerSettings.model_fields["worker_database_connections"],
        WebhookWorkerSettings.model_fields["database_connections"],
        JobSettings.model_fields["database_connections"],
    ]
    worker = sum(pool.default for pool in pools) + outbox_relay.CONNECTIONS + upkeep.CONNECTIONS

    assert services["postgres"]["command"] == ["postgres", "-c", f"max_connections={postgres.MAX_CONNECTIONS}"]
    # Two of each, as while one version takes over from another.
    assert temporal + 2 * (api + worker) < postgres.MAX_CONNECTIONS


def test_temporals_dynamic_configuration_is_the_embedded_stacks(root: Path) -> None:
    embedded = yaml.safe_load(temporal_server.DYNAMIC_CONFIG.read_text())

    ours = yaml.safe_load(_read(root, "deploy/compose/temporal/dynamicconfig.yaml"))

    assert ours == {key: value for key, value in embedded.items() if not NOT_IN_CONTAINERS.fullmatch(key)}


def test_every_file_that_is_mounted_exists_and_every_volume_is_declared(root: Path, services: Services) -> None:
    declared = set(yaml.safe_load(_read(root, "docker-compose.yml"))["volumes"])
    named = set()
    for name, service in services.items():
        for mount in service.get("volumes", ()):
            source, _, target = mount.partition(":")
            if source.startswith("./"):
                assert (root / source).is_file(), f"{name}: {source}"
                assert target.endswith(":ro"), f"{name}: {source}"
            else:
                named.add(source)
    assert named == declared


def test_mounted_files_are_where_the_services_look_for_them(services: Services, environments: Environments) -> None:
    assert services["temporal-schema"]["entrypoint"][-1] in _targets(services["temporal-schema"])
    assert environments["temporal"]["DYNAMIC_CONFIG_FILE_PATH"] in _targets(services["temporal"])


def test_every_home_and_ledger_is_in_a_folder_that_can_be_written_to(services: Services) -> None:
    for name in ("api", "worker", "migrate", "signing-key", "sandbox"):
        service = services[name]
        writable = [*_targets(service), *(mount.partition(":")[0] for mount in service["tmpfs"])]
        for path in (word for word in service["command"] if word.startswith("/")):
            assert any(Path(path).is_relative_to(place) for place in writable), f"{name}: {path}"
    # The key that signs tokens is made in one container and used in another.
    assert set(services["signing-key"]["volumes"]) <= set(services["api"]["volumes"])


def test_the_api_and_the_worker_keep_files_in_one_place_that_lasts(
    services: Services, environments: Environments
) -> None:
    urls = {environments[name]["FOLLOWTHROUGH_OBJECT_STORE_URL"] for name in ("api", "worker")}
    (mount,) = set(services["api"]["volumes"]) & set(services["worker"]["volumes"])

    assert urls == {f"file://{mount.partition(':')[2]}"}


def test_the_image_is_built_from_our_dockerfile(root: Path, services: Services) -> None:
    ours = {name: service for name, service in services.items() if "build" in service}

    assert set(ours) == {"api", "worker", "migrate", "signing-key", "sandbox"}
    for service in ours.values():
        assert (root / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert len({service["image"] for service in ours.values()}) == 1


def _pinned(go_mod: str, module: str) -> str:
    found = re.search(rf"^\s*(?:require )?{re.escape(module)} v(\S+)", go_mod, re.MULTILINE)
    assert found is not None, module
    return found[1]


def _waits_for(services: Services, name: str) -> set[str]:
    needed = set(services[name].get("depends_on", ()))
    return needed.union(*(_waits_for(services, other) for other in needed))


def _option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def _health_url(service: Service) -> Any:
    found = HEALTH_URL.search(" ".join(service["healthcheck"]["test"]))
    assert found is not None
    return urlsplit(found[0])


def _has_route(app: Starlette, path: str) -> bool:
    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    return any(route.matches(dict(scope))[0] is Match.FULL for route in app.routes)


def _targets(service: Service) -> list[str]:
    return [mount.split(":")[1] for mount in service.get("volumes", ())]


def _read(root: Path, path: str) -> str:
    return (root / path).read_text()
