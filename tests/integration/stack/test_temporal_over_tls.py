"""Every process of ours gets into a Temporal that asks for TLS, certificates or API keys, by configuration alone."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from stack.home import Home
from tests.integration.stack.conftest import eventually
from tests.integration.stack.tls_server import Authority, tls_server
from tests.stack_session import FOLLOWTHROUGH, clean_environment, followthrough

pytestmark = pytest.mark.outage

Variables = dict[str, str]


async def run(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(followthrough, *arguments, "--home", str(home), **variables)


async def test_mutual_tls_lets_those_in_who_have_a_certificate(running_home: Path, tmp_path: Path) -> None:
    authority, another = Authority(tmp_path, "authority"), Authority(tmp_path, "another")
    certificate, key = authority.issue("followthrough-client")
    target = str(Home(running_home).state().temporal_address)
    async with tls_server(target, authority.issue("temporal.internal"), clients=authority) as server:
        known = {
            "TEMPORAL_ADDRESS": server.address,
            "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(authority.path),
            "TEMPORAL_TLS_SERVER_NAME": "temporal.internal",
        }
        ours = {"TEMPORAL_TLS_CLIENT_CERT_PATH": str(certificate), "TEMPORAL_TLS_CLIENT_KEY_PATH": str(key)}

        done, without, distrusting = await asyncio.gather(
            run(running_home, "migrate", "--check", **known, **ours),
            run(running_home, "migrate", "--check", **known),
            run(
                running_home,
                "migrate",
                "--check",
                **{**known, "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(another.path)},
                **ours,
            ),
        )
        seen_before = set(server.clients)
        worker = await asyncio.to_thread(works_until_stopped, running_home, tmp_path / "worker.log", {**known, **ours})

    assert (done.returncode, done.stderr) == (0, "")
    assert seen_before == server.clients == {"followthrough-client"}
    assert without.returncode == distrusting.returncode == 1
    assert "did not become usable" in without.stderr
    assert '"worker started"' in worker


async def test_the_demo_gets_in_with_a_certificate(running_home: Path, home: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    certificate, key = authority.issue("followthrough-client")
    target = str(Home(running_home).state().temporal_address)
    async with tls_server(target, authority.issue("temporal.internal"), clients=authority) as server:
        done = await run(
            home,
            "demo",
            TEMPORAL_ADDRESS=server.address,
            TEMPORAL_TLS_SERVER_CA_CERT_PATH=str(authority.path),
            TEMPORAL_TLS_CLIENT_CERT_PATH=str(certificate),
            TEMPORAL_TLS_CLIENT_KEY_PATH=str(key),
            FOLLOWTHROUGH_TEMPORAL_UI_URL="https://temporal.example.com",
        )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "They balance" in done.stdout


async def test_an_api_key_is_sent_as_a_bearer_token_and_nothing_asked_for_that_clients_may_not_do(
    running_home: Path, tmp_path: Path
) -> None:
    """Temporal Cloud lets no client make namespaces and search attributes; here they are there already."""
    authority = Authority(tmp_path, "authority")
    target = str(Home(running_home).state().temporal_address)
    async with tls_server(target, authority.issue("temporal.internal"), clients=None) as server:
        done = await run(
            running_home,
            "migrate",
            TEMPORAL_ADDRESS=server.address,
            TEMPORAL_TLS_SERVER_CA_CERT_PATH=str(authority.path),
            TEMPORAL_API_KEY="a-key-of-temporal-cloud",
        )

    assert (done.returncode, done.stderr) == (0, "")
    assert {"DescribeTaskQueue", "DescribeSchedule"} <= server.calls
    assert server.calls.isdisjoint({"RegisterNamespace", "AddSearchAttributes", "ListSearchAttributes"})
    assert server.authorizations == {"Bearer a-key-of-temporal-cloud"}


async def test_what_is_meant_for_another_temporal_leaves_the_stacks_own_alone(running_home: Path) -> None:
    done = await run(
        running_home, "migrate", "--check", TEMPORAL_API_KEY="a-key-of-temporal-cloud", TEMPORAL_TLS="true"
    )

    assert (done.returncode, done.stderr) == (0, "")


async def test_a_certificate_without_its_key_is_refused(running_home: Path, tmp_path: Path) -> None:
    certificate, _ = Authority(tmp_path, "authority").issue("followthrough-client")

    refused = await run(
        running_home,
        "migrate",
        "--check",
        TEMPORAL_ADDRESS="127.0.0.1:1",
        TEMPORAL_TLS_CLIENT_CERT_PATH=str(certificate),
    )

    assert refused.returncode == 1
    assert "tls_client_cert_path and tls_client_key_path belong together" in refused.stderr


def works_until_stopped(home: Path, log: Path, variables: Variables) -> str:
    """What a worker says until it works, or stops by itself."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*FOLLOWTHROUGH, "worker", "--home", str(home)],
            env={**clean_environment(), **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        ) as worker,
    ):
        try:
            eventually(lambda: '"worker started"' in log.read_text() or worker.poll() is not None)
        finally:
            worker.terminate()
    return log.read_text()
