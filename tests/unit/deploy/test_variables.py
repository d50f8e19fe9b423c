"""Variables in docker-compose.yml: each is one we read, none that is needed is forgotten, no secret is written down."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings

import settings
from settings import (
    ApiSettings,
    ConfirmationSettings,
    DatabaseSettings,
    DeploymentSettings,
    DigestSettings,
    EventLoopSettings,
    JobSettings,
    MailSettings,
    MerchandiserSettings,
    ObjectStoreSettings,
    OrderSettings,
    PayloadSettings,
    RetentionSettings,
    S3Settings,
    ScheduleSettings,
    SessionSettings,
    TemporalSettings,
    TracingSettings,
    WebhookSettings,
    WebhookWorkerSettings,
    WorkerSettings,
)

Services = dict[str, dict[str, Any]]
Environments = dict[str, dict[str, str]]

READ_BY: dict[str, list[type[BaseSettings]]] = {
    "migrate": [DatabaseSettings, TemporalSettings, PayloadSettings, ScheduleSettings],
    "api": [
        DatabaseSettings,
        TemporalSettings,
        PayloadSettings,
        ConfirmationSettings,
        SessionSettings,
        OrderSettings,
        ScheduleSettings,
        ApiSettings,
        EventLoopSettings,
        ObjectStoreSettings,
        S3Settings,
        WebhookSettings,
        MerchandiserSettings,
        TracingSettings,
    ],
    "worker": [
        DatabaseSettings,
        TemporalSettings,
        PayloadSettings,
        ConfirmationSettings,
        WorkerSettings,
        DeploymentSettings,
        EventLoopSettings,
        MailSettings,
        ObjectStoreSettings,
        S3Settings,
        WebhookSettings,
        WebhookWorkerSettings,
        JobSettings,
        DigestSettings,
        RetentionSettings,
        MerchandiserSettings,
        TracingSettings,
    ],
}
SECRET = re.compile(r"PASSWORD|PWD|SECRET|(?<!PASS_ACCESS_)TOKEN|_KEYS?$|OTLP_HEADERS|DATABASE_URL")
REQUIRED_REFERENCE = re.compile(r"\$\{(\w+):\?([^}]+)\}")
REFERENCE = re.compile(r"\$\{(\w+)")
# What Compose itself reads from the file of variables.
OF_COMPOSE = {"COMPOSE_PROFILES"}


def test_every_class_of_settings_is_given_to_a_service() -> None:
    defined = {
        value
        for value in vars(settings).values()
        if isinstance(value, type) and issubclass(value, BaseSettings) and value is not BaseSettings
    }

    assert defined == {of_service for classes in READ_BY.values() for of_service in classes}


@pytest.mark.parametrize("name", READ_BY)
def test_a_service_is_given_exactly_the_variables_it_reads(services: Services, name: str) -> None:
    """A new field of settings.py has to be named here too: with no value, when it has a default."""
    read = {variable for of_service in READ_BY[name] for variable in _variables(of_service)}

    assert set(services[name]["environment"]) == read


@pytest.mark.parametrize("name", READ_BY)
def test_development_starts_with_what_it_is_given(
    environments: Environments, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for variable in {variable for classes in READ_BY.values() for read in classes for variable in _variables(read)}:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environments[name].items():
        monkeypatch.setenv(variable, value)

    for of_service in READ_BY[name]:
        of_service()


def test_the_worker_finds_the_sandbox(services: Services, environments: Environments) -> None:
    command = services["sandbox"]["command"]
    sandbox = f"http://sandbox:{command[command.index('--port') + 1]}"

    assert environments["worker"]["FOLLOWTHROUGH_PAYMENTS_URL"] == f"{sandbox}/payments"
    assert environments["worker"]["FOLLOWTHROUGH_CARRIER_URL"] == f"{sandbox}/carrier"


def test_the_api_finds_the_key_that_development_makes(services: Services, environments: Environments) -> None:
    command = services["signing-key"]["command"]
    home = command[command.index("--home") + 1]

    assert environments["api"]["FOLLOWTHROUGH_JWKS_URL"] == f"file://{home}/jwks.json"


def test_no_secret_is_written_in_the_compose_file(services: Services) -> None:
    for name, service in services.items():
        for variable, value in (service.get("environment") or {}).items():
            # One without a value is passed on from the file of variables.
            if SECRET.search(variable) and value is not None:
                assert REQUIRED_REFERENCE.search(str(value)), f"{name}: {variable}"
                rest = REQUIRED_REFERENCE.sub("", str(value))
                role = "followthrough" if name == "migrate" else "followthrough_app"
                assert rest in ("", f"postgresql://{role}:@postgres:5432/followthrough"), f"{name}: {variable}"


def test_no_secret_of_development_is_anywhere_else(root: Path, development: dict[str, str]) -> None:
    secrets = [value for variable, value in development.items() if SECRET.search(variable)]
    assert len(secrets) == 10

    for path in (root / "docker-compose.yml", *_files(root / "deploy"), root / "docs/deployment.md"):
        if path.name != "dev.env":
            assert not [secret for secret in secrets if secret in path.read_text()], path


def test_what_is_required_says_what_to_set_and_is_in_both_files_of_variables(
    root: Path, development: dict[str, str]
) -> None:
    required = dict(REQUIRED_REFERENCE.findall(_without_comments(root / "docker-compose.yml")))

    example = _without_comments(root / "deploy/compose/.env.example").splitlines()

    assert all(message.startswith("set it to ") for message in required.values())
    assert {line for line in example if line} == {f"{variable}=" for variable in required}
    assert set(required) <= set(development)


def test_the_example_names_nothing_that_is_not_read(root: Path, services: Services) -> None:
    passed_on = {
        variable
        for service in services.values()
        for variable, value in (service.get("environment") or {}).items()
        if value is None
    }
    known = passed_on | set(REFERENCE.findall(_without_comments(root / "docker-compose.yml")))

    example = (root / "deploy/compose/.env.example").read_text()

    named = set(re.findall(r"^(?:# )?([A-Z_]+)=", example, re.MULTILINE))
    assert named <= known
    # And nothing that can be set is kept from who sets up production.
    assert known - named == {"FOLLOWTHROUGH_SANDBOX_PORT", "FOLLOWTHROUGH_MAILPIT_PORT"}


def test_a_filled_in_copy_of_the_example_stays_out_of_git(root: Path) -> None:
    assert ".env" in (root / "deploy/compose/.gitignore").read_text().splitlines()


def test_the_roles_get_the_passwords_they_log_in_with(root: Path, environments: Environments) -> None:
    roles = (root / "deploy/compose/postgres/roles.sql").read_text()
    postgres = environments["postgres"]

    assert dict(re.findall(r"^\\getenv (\w+) (\w+)$", roles, re.MULTILINE)) == {
        "followthrough_password": "FOLLOWTHROUGH_DATABASE_PASSWORD",
        "app_password": "FOLLOWTHROUGH_APP_DATABASE_PASSWORD",
        "temporal_password": "TEMPORAL_DATABASE_PASSWORD",
    }
    assert f"//followthrough:{postgres['FOLLOWTHROUGH_DATABASE_PASSWORD']}@" in environments["migrate"]["DATABASE_URL"]
    for name in ("api", "worker"):
        login = f"//followthrough_app:{postgres['FOLLOWTHROUGH_APP_DATABASE_PASSWORD']}@"
        assert login in environments[name]["DATABASE_URL"]
    assert environments["temporal"]["POSTGRES_PWD"] == postgres["TEMPORAL_DATABASE_PASSWORD"]
    assert environments["temporal-schema"]["SQL_PASSWORD"] == postgres["TEMPORAL_DATABASE_PASSWORD"]


def _variables(of_service: type[BaseSettings]) -> set[str]:
    prefix = of_service.model_config.get("env_prefix", "")
    return {f"{prefix}{field}".upper() for field in of_service.model_fields}


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _without_comments(path: Path) -> str:
    return "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
