"""deploy/kubernetes holds what it promises: what it names is there, containers are confined, settings are ours."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from pydantic_settings import BaseSettings

from api.readiness import Part
from contracts.job_types import OFFERED
from contracts.jobs import JobType
from contracts.queues import ALL, CPU, UNVERSIONED
from settings import ApiSettings, DeploymentSettings, WorkerSettings
from tests.unit.deploy.conftest import variables_of
from tests.unit.deploy.test_variables import READ_BY, SECRET

FOLDER = Path(__file__).parents[3] / "deploy" / "kubernetes"
DOCS = FOLDER.parents[1] / "docs"
PRODUCTION = FOLDER / "overlays" / "production"
RELEASE = FOLDER / "overlays" / "release"
SECRET_NAME, SETTINGS_NAME = "followthrough", "followthrough-settings"
ROLES = {"migrate": "migrate", "api": "api", "worker": "worker", "worker-cpu": "worker"}
# The owner of the tables, and of nobody else's business.
RENAMED = {("followthrough-migrate", "DATABASE_URL"): "OWNER_DATABASE_URL"}
# Uvicorn's own.
NOT_OURS = {"FORWARDED_ALLOW_IPS"}
# What a value may be, so that settings can be made of it.
EXAMPLES = {
    "DATABASE_URL": "postgresql://a:b@postgres/followthrough",
    "FOLLOWTHROUGH_PAYLOAD_KEYS": "key1=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "FOLLOWTHROUGH_CARRIER_WEBHOOK_SECRET": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz",
    "FOLLOWTHROUGH_PAYMENTS_WEBHOOK_SECRET": "whsec_0123456789",
}

Manifest = dict[str, Any]


def kustomization(folder: Path) -> Manifest:
    found: Manifest = yaml.safe_load((folder / "kustomization.yaml").read_text())
    return found


def manifests(folder: Path) -> Iterator[Manifest]:
    """What a kustomization is made of, its bases and components included. A file that it names and lacks fails."""
    what = kustomization(folder)
    for name in [*what.get("resources", []), *what.get("components", [])]:
        if (folder / name).is_dir():
            yield from manifests((folder / name).resolve())
        else:
            yield from yaml.safe_load_all((folder / name).read_text())


def settings_in(folder: Path) -> dict[str, str]:
    """The ConfigMap, as Kustomize makes it of the base's values and the overlay's."""
    what = kustomization(folder)
    found: dict[str, str] = {}
    for base in [name for name in what.get("resources", []) if (folder / name).is_dir()]:
        found |= settings_in((folder / base).resolve())
    for generator in what.get("configMapGenerator", []):
        assert generator["name"] == SETTINGS_NAME
        assert (generator.get("behavior") == "merge") == bool(found)
        for file in generator["envs"]:
            found |= variables_of((folder / file).read_text())
    return found


EVERYTHING = list(manifests(PRODUCTION))
PODS = {one["metadata"]["name"]: one["spec"]["template"] for one in EVERYTHING if one["kind"] in ("Deployment", "Job")}
CONTAINERS = {name: pod["spec"]["containers"][0] for name, pod in PODS.items()}
LASTING = sorted(name for name in PODS if "migrate" not in name)


def component(name: str) -> str:
    return name.removeprefix("followthrough-")


def of(kind: str) -> dict[str, Manifest]:
    return {one["metadata"]["name"]: one for one in EVERYTHING if one["kind"] == kind}


def secrets(container: Manifest) -> dict[str, Manifest]:
    return {entry["name"]: entry["valueFrom"]["secretKeyRef"] for entry in container["env"]}


def read_by(name: str) -> list[type[BaseSettings]]:
    return READ_BY[ROLES[component(name)]]


def variables(classes: list[type[BaseSettings]]) -> set[str]:
    return {f"{one.model_config.get('env_prefix', '')}{field}".upper() for one in classes for field in one.model_fields}


def test_there_is_what_is_promised() -> None:
    names = {"followthrough-api", "followthrough-worker", "followthrough-worker-cpu"}
    assert set(of("Deployment")) == names == set(of("PodDisruptionBudget"))
    assert set(of("Job")) == {"followthrough-migrate"}
    assert set(of("HorizontalPodAutoscaler")) == {"followthrough-api"}
    assert set(of("ScaledObject")) == names - {"followthrough-api"}


@pytest.mark.parametrize("version", ["1.31", kubernetes_validate.latest_version()], ids=["oldest", "latest"])
def test_kubernetes_takes_it_by_its_own_schemas(version: str) -> None:
    """All but what is KEDA's; `make kubernetes` holds that against its schemas, where these can be had."""
    ours = [one for one in EVERYTHING if not one["apiVersion"].startswith("keda.sh/")]
    deployment = next(one for one in ours if one["kind"] == "Deployment")
    misspelt = {**deployment, "spec": {**deployment["spec"], "replica": 1}}

    for manifest in ours:
        kubernetes_validate.validate(manifest, version, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(misspelt, version, strict=True)


@pytest.mark.parametrize("name", sorted(PODS))
def test_a_pod_is_confined(name: str) -> None:
    pod = PODS[name]["spec"]
    assert pod["securityContext"].items() >= {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001}.items()
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    # Kubernetes would set FOLLOWTHROUGH_API_PORT to the address of the Service of that name.
    assert pod["enableServiceLinks"] is False
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]
    volumes = {volume["name"]: volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts == {"tmp": "/tmp", "home": "/var/lib/followthrough"}  # a mount
    assert volumes.keys() == mounts.keys()


@pytest.mark.parametrize("name", LASTING)
def test_what_goes_on_is_probed_and_stopped_in_time(name: str) -> None:
    pod, container = PODS[name]["spec"], CONTAINERS[name]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    settings = settings_in(PRODUCTION)
    if component(name) == "api":
        asked = urlsplit(container["readinessProbe"]["httpGet"]["path"])
        # With all workers away orders are still accepted, so none of them may take the API out of its Service.
        assert (asked.path, parse_qs(asked.query)) == ("/readyz", {"exclude": [Part.TEMPORAL, Part.WORKER]})
        # Postgres is slow for all of them at once.
        assert container["readinessProbe"]["failureThreshold"] > 1
        assert pod["terminationGracePeriodSeconds"] >= float(settings["FOLLOWTHROUGH_API_DRAIN_S"]) + 10
        assert ports == {
            "http": int(settings["FOLLOWTHROUGH_API_PORT"]),
            "metrics": int(settings["FOLLOWTHROUGH_API_METRICS_PORT"]),
        }
    else:
        assert pod["terminationGracePeriodSeconds"] >= float(settings["FOLLOWTHROUGH_WORKER_DRAIN_S"]) + 5
        assert ports == {"metrics": int(settings["FOLLOWTHROUGH_WORKER_METRICS_PORT"])}


def test_a_check_without_schemas_is_skipped_aloud_and_does_not_fail() -> None:
    skipped = subprocess.run(
        ["tools/kubeconform.sh"],
        cwd=FOLDER.parents[1],
        env={**os.environ, "KUBERNETES_SCHEMAS": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert skipped.returncode == 0, skipped.stderr
    assert "NO CHECK OF KUBERNETES" in skipped.stdout
    assert "http://127.0.0.1:1" in skipped.stderr


def test_images_have_one_version() -> None:
    (image,) = kustomization(PRODUCTION)["images"]
    assert {container["image"] for container in CONTAINERS.values()} == {image["name"]}
    assert re.fullmatch(r"\d+\.\d+\.\d+", image["newTag"])


@pytest.mark.parametrize("name", sorted(PODS))
def test_a_container_is_given_what_it_reads_and_secrets_of_no_other(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    container, settings = CONTAINERS[name], settings_in(PRODUCTION)
    assert container["envFrom"] == [{"configMapRef": {"name": SETTINGS_NAME}}]
    given = secrets(container)
    assert given.keys() <= variables(read_by(name))
    assert {variable: (ref["name"], ref["key"]) for variable, ref in given.items()} == {
        variable: (SECRET_NAME, RENAMED.get((name, variable), variable)) for variable in given
    }

    for variable in variables(read_by(name)):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    for variable, ref in given.items():
        if not ref.get("optional"):
            monkeypatch.setenv(variable, EXAMPLES.get(variable, "x" * 32))
    for read in read_by(name):
        read()


def test_every_value_is_one_that_somebody_reads_and_none_is_a_secret() -> None:
    settings = settings_in(PRODUCTION)
    read = {variable for classes in READ_BY.values() for variable in variables(classes)}
    assert settings.keys() <= read | NOT_OURS
    assert not [variable for variable in settings if SECRET.search(variable)]


def test_the_web_ui_that_operators_are_sent_to_may_read_what_is_decrypted() -> None:
    settings = settings_in(PRODUCTION)
    origin = urlsplit(settings["FOLLOWTHROUGH_TEMPORAL_UI_URL"])._replace(path="").geturl()
    assert settings["FOLLOWTHROUGH_CODEC_ORIGINS"].split(",") == [origin]


def test_it_is_said_whose_tokens_count_and_whose_word_about_addresses() -> None:
    settings = settings_in(PRODUCTION)
    assert {"FOLLOWTHROUGH_JWKS_URL", "FOLLOWTHROUGH_JWT_ISSUER", "FOLLOWTHROUGH_JWT_AUDIENCE"} <= settings.keys()
    # Of a whole network of pods each could give itself any address in the audit log, and one for each limit.
    believed = [ip_network(address) for address in settings["FORWARDED_ALLOW_IPS"].split(",")]
    assert all(network.num_addresses == 1 for network in believed)


def test_prometheus_names_the_jobs_as_the_alerts_do() -> None:
    (found,) = re.findall(r"```yaml\n( *relabel_configs:[^`]*)```", (DOCS / "deployment.md").read_text())
    (rule,) = [one for one in yaml.safe_load(found)["relabel_configs"] if one.get("target_label") == "job"]
    labels = {name: pod["metadata"]["labels"]["app.kubernetes.io/component"] for name, pod in PODS.items()}
    assert rule["source_labels"] == ["__meta_kubernetes_pod_label_app_kubernetes_io_component"]

    jobs = {name: re.fullmatch(rule["regex"], labels[name]) for name in LASTING}

    told = {name: match.expand(rule["replacement"].replace("$1", r"\1")) for name, match in jobs.items() if match}
    assert told == {name: name for name in LASTING}
    alerts = (FOLDER.parent / "prometheus" / "alerts.yml").read_text()
    assert set(re.findall(r'job="([^"]*)"', alerts)) <= set(told.values())


def test_the_secret_is_described_whole() -> None:
    named = {ref["key"]: ref for container in CONTAINERS.values() for ref in secrets(container).values()}
    lines = (PRODUCTION / "secret.env.example").read_text().splitlines()
    assert {line for line in lines if re.match(r"[A-Z]", line)} == {
        f"{variable}=" for variable, ref in named.items() if not ref.get("optional")
    }
    assert {line for line in lines if re.match(r"# [A-Z_]+=$", line)} == {
        f"# {variable}=" for variable, ref in named.items() if ref.get("optional")
    }
    assert "secret.env" in (PRODUCTION / ".gitignore").read_text().split()


def test_every_secret_that_our_code_takes_can_be_given() -> None:
    named = {variable for container in CONTAINERS.values() for variable in secrets(container)}
    kept = {variable for classes in READ_BY.values() for variable in variables(classes) if SECRET.search(variable)}
    # Temporary credentials come with a role of the pod, not as a Secret.
    assert kept - named <= {"AWS_SESSION_TOKEN", *_paths()}


def _paths() -> set[str]:
    return {"TEMPORAL_TLS_CLIENT_KEY_PATH"}


def test_selectors_find_the_pods_they_are_about() -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in PODS.items()}
    for name, deployment in of("Deployment").items():
        assert deployment["spec"]["selector"]["matchLabels"] == labels[name]
        assert of("PodDisruptionBudget")[name]["spec"]["selector"]["matchLabels"] == labels[name]
    for name, service in of("Service").items():
        assert service["spec"]["selector"] == labels[name]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= {
            port["name"] for port in CONTAINERS[name]["ports"]
        }
    for policy in of("NetworkPolicy").values():
        wanted = policy["spec"]["podSelector"]["matchLabels"].items()
        assert any(wanted <= found.items() for found in labels.values())
    for scaled in (*of("HorizontalPodAutoscaler").values(), *of("ScaledObject").values()):
        assert scaled["spec"]["scaleTargetRef"]["name"] in of("Deployment")


def test_workers_share_the_queues_among_them_and_scale_by_those_that_there_are() -> None:
    polled = {}
    for name in LASTING:
        arguments = CONTAINERS[name]["args"]
        if arguments[0] == "worker":
            polled[name] = arguments[arguments.index("--queues") + 1].split(",")
    assert sorted(queue for queues in polled.values() for queue in queues) == sorted(ALL)
    for name, scaled in of("ScaledObject").items():
        for trigger in scaled["spec"]["triggers"]:
            metadata = trigger["metadata"]
            assert metadata["taskQueue"] in polled[name]
            assert metadata["namespace"] == settings_in(PRODUCTION)["TEMPORAL_NAMESPACE"]
            assert metadata["endpointFromEnv"] in settings_in(PRODUCTION)
    assert {ApiSettings, WorkerSettings} <= {one for classes in READ_BY.values() for one in classes}


def test_a_job_that_computes_is_over_before_its_worker_is_taken_away() -> None:
    scaled = of("ScaledObject")["followthrough-worker-cpu"]["spec"]
    behavior = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    longest = max(job_type.timeout_s for job_type in OFFERED.values() if job_type.queue == CPU)
    default: float = JobType.timeout_s

    assert scaled["minReplicaCount"] >= 1
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] > max(longest, default)


def test_a_release_has_the_same_build_id_everywhere_and_scales_by_the_tasks_that_are_its() -> None:
    what = kustomization(RELEASE)
    build_id = what["nameSuffix"].removeprefix("-")
    assert what["labels"] == [{"pairs": {"release": build_id}, "includeSelectors": True}]
    (image,), (ours,) = what["images"], kustomization(PRODUCTION)["images"]
    assert (image["name"], image["newTag"]) == (ours["newName"], build_id)
    (settings,) = what["configMapGenerator"]
    assert (settings["name"], settings["behavior"]) == (SETTINGS_NAME, "merge")
    assert settings["literals"] == ["FOLLOWTHROUGH_WORKER_VERSIONING=true", f"FOLLOWTHROUGH_BUILD_ID={build_id}"]
    (added,) = [yaml.safe_load(one["patch"]) for one in what["patches"] if one["target"].get("kind") == "ScaledObject"]
    fields = {
        "workerDeploymentName": DeploymentSettings.model_fields["deployment_name"].default,
        "workerDeploymentBuildId": build_id,
    }
    assert {operation["path"]: operation["value"] for operation in added} == {
        f"/spec/triggers/{number}/metadata/{field}": value
        for number, trigger in enumerate(of("ScaledObject")["followthrough-worker"]["spec"]["triggers"])
        if trigger["metadata"]["taskQueue"] not in UNVERSIONED
        for field, value in fields.items()
    }


def built(folder: Path) -> dict[tuple[str, str], Manifest]:
    """What Kustomize makes of a folder, by kind and name."""
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(done.stdout)}


def workers_of(found: dict[tuple[str, str], Manifest]) -> dict[str, dict[str, str]]:
    """The labels of the pods of each Deployment of workers."""
    deployments = [one for (kind, name), one in found.items() if kind == "Deployment" and "-worker" in name]
    return {one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"] for one in deployments}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="without kubectl nothing is built")
def test_a_release_stands_beside_the_others_and_neither_counts_the_others_pods() -> None:
    ours, beside = built(PRODUCTION), built(RELEASE)
    assert {kind for kind, _ in beside} == {"ConfigMap", "Deployment", "PodDisruptionBudget", "ScaledObject"}
    assert not ours.keys() & beside.keys()
    assert {one["metadata"]["namespace"] for one in beside.values()} == {"followthrough"}

    for here, there in ((ours, beside), (beside, ours)):
        for (kind, name), one in here.items():
            if kind in ("Deployment", "PodDisruptionBudget"):
                wanted = one["spec"]["selector"]["matchLabels"].items()
                assert not [labels for labels in workers_of(there).values() if wanted <= labels.items()]
                assert name not in workers_of(here) or wanted <= workers_of(here)[name].items()
            if kind == "ScaledObject":
                assert one["spec"]["scaleTargetRef"]["name"] == name
                assert name in workers_of(here)
    (settings,) = [one for (kind, _), one in beside.items() if kind == "ConfigMap"]
    for name in workers_of(beside):
        (container,) = beside["Deployment", name]["spec"]["template"]["spec"]["containers"]
        assert container["envFrom"] == [{"configMapRef": {"name": settings["metadata"]["name"]}}]
    # What lets Prometheus in, and nobody else.
    (confined,) = [one for (kind, name), one in ours.items() if (kind, name) == ("NetworkPolicy", "followthrough")]
    wanted = confined["spec"]["podSelector"]["matchLabels"].items()
    assert all(wanted <= labels.items() for labels in workers_of(beside).values())
