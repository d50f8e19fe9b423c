"""Whatever is sent, the API answers as its document says: Schemathesis makes the requests and judges the answers.

`make test` has few for each operation, always the same; `make fuzz` has many, other ones each time. Both have a stack
of their own: whatever an operator can do is done to whatever is found, schedules and the fraud limit included, and the
metrics fill with every status that there is.
"""

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from prometheus_client.parser import text_string_to_metric_families

from api.auth import Scope
from tests.acceptance.client import order_body
from tests.stack_session import RunningStack, bring_up, clean_environment, throw_away
from tests.webhooks import allowed_hosts

SCHEMATHESIS = (sys.executable, "-m", "schemathesis.cli")
IN_FULL = "FUZZ" in os.environ
SEED = int(os.environ.get("FUZZ_SEED", random.SystemRandom().randrange(2**32) if IN_FULL else 1))
EXAMPLES, JOURNEYS = (20, 100) if IN_FULL else (2, 12)
# Beyond examples and boundaries, which are there once, requests and journeys go on with other seeds until then.
BUDGET = "max-time = 600" if IN_FULL else ""
# At least so many links are followed.
LINKS = 8 if IN_FULL else 4
WITHIN_S = 1_800 if IN_FULL else 120
# Temporal or Postgres has not answered within seconds, as on a machine with much else to do, or while a backfill begins
# 500 runs: the caller is told to try again.
BUSY = "503"
# Who signs up with an address that is taken learns so by mail alone: the answer names an account that there is not.
SECRETIVE = "^/v1/accounts"
# One check is left out: that everything is accepted which the document allows. It cannot say that `to` is later than
# `from`, which cursors there are, or what stands in a token. What is wrong in several ways may be refused for any of
# them, and be it that it is too large (413). Streams of events end when they do, and so are left after their first one.
SETTINGS = f"""
hooks = "tests.fuzzing.hooks"
seed = {SEED}
{BUDGET}
max-stream-events = 1
request-timeout = 20
continue-on-failure = true
warnings = false
cache = {{ enabled = false }}
generation = {{ database = "none", no-shrink = {str(not IN_FULL).lower()} }}
headers = {{ Authorization = "Bearer ${{FUZZ_TOKEN}}" }}

[checks]
positive_data_acceptance = {{ enabled = false }}
not_a_server_error = {{ expected-statuses = ["2xx", "3xx", "4xx", "{BUSY}"] }}
negative_data_rejection = {{ expected-statuses = ["4xx", "5xx"] }}

[[operations]]
include-path-regex = "{SECRETIVE}"
checks.ensure_resource_availability = {{ enabled = false }}

[phases]
examples = {{ enabled = {str(IN_FULL).lower()} }}
coverage = {{ enabled = {str(IN_FULL).lower()} }}
fuzzing = {{ generation = {{ max-examples = {EXAMPLES} }} }}
stateful = {{ max-steps = 8, generation = {{ max-examples = {JOURNEYS} }} }}
"""
# What can be made, and of what.
MADE: dict[str, dict[str, Any]] = {
    "/v1/orders": order_body("TEE-BLACK-M"),
    "/v1/jobs": {"type": "diagnostics.echo", "arguments": {"message": "hello"}},
    "/v1/jobs/batch": {"type": "diagnostics.echo", "items": [{"message": "one"}, {"message": "two"}]},
    "/v1/reports": {"type": "orders", "from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z", "format": "csv"},
    "/v1/webhook-endpoints": {"url": f"http://{allowed_hosts().split(',')[0]}/hooks", "event_types": ["order.*"]},
    "/v1/accounts": {"email": "follower.of.links@example.com", "name": "Ada"},
    "/v1/admin/bulk": {"action": "retry", "filter": {"reason": "no such thing"}, "limit": 1},
}
BUCKETS = "followthrough_api_request_seconds_count"


@dataclass(frozen=True)
class Fuzzed:
    """An API that was sent a lot, what it says of itself, and how often it gave which answer: its own count."""

    stack: RunningStack
    said: str
    passed: bool
    document: dict[str, Any]
    answers: dict[tuple[str, str, str], float]

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Method, path and description."""
        for path, operations in self.document["paths"].items():
            for method, operation in operations.items():
                yield method.upper(), path, operation


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    folder = tmp_path_factory.mktemp("fuzzed")
    try:
        found = bring_up(
            folder / "home",
            FOLLOWTHROUGH_ENCRYPT_PAYLOADS="true",
            FOLLOWTHROUGH_SIGN_UPS_PER_MINUTE="100000",
            FOLLOWTHROUGH_WEBHOOKS_ALLOWED_HOSTS=allowed_hosts(),
        )
        stack = RunningStack.of(folder / "home", found)
        document = httpx.get(f"{stack.api_url}/openapi.json", timeout=30).json()
        passed, said = fuzz(stack, folder)
        yield Fuzzed(stack, said, passed, document, answers_of(stack))
    finally:
        throw_away(folder / "home")


def fuzz(stack: RunningStack, folder: Path) -> tuple[bool, str]:
    """Let Schemathesis loose as somebody who may do everything. Returns whether it is content, and what it says."""
    settings = folder / "schemathesis.toml"
    settings.write_text(SETTINGS)
    [host, *_] = allowed_hosts().split(",")
    done = subprocess.run(
        [*SCHEMATHESIS, "--config-file", str(settings), "run", f"{stack.api_url}/openapi.json"],
        env=clean_environment()
        | {"FUZZ_TOKEN": stack.token("fuzz", *Scope), "FUZZ_WEBHOOKS_TO": f"http://{host}/hooks"},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    return done.returncode == 0, done.stdout


def answers_of(stack: RunningStack) -> dict[tuple[str, str, str], float]:
    """How often the API gave an answer, by method, route and status."""
    text = httpx.get(stack.metrics["api"], timeout=30).text
    return {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == BUCKETS
    }


def test_whatever_is_sent_is_answered_as_documented(fuzzed: Fuzzed) -> None:
    assert fuzzed.passed, fuzzed.said


def test_every_operation_was_called_and_most_of_them_did_something(fuzzed: Fuzzed) -> None:
    called = {(method, route) for method, route, _ in fuzzed.answers}
    done = {(method, route) for method, route, status in fuzzed.answers if status.startswith("2")}
    operations = {(method, path) for method, path, _ in fuzzed.operations()}

    assert len(operations) > 60
    assert operations - called == set()
    assert len(operations & done) >= len(operations) / 3


def test_links_were_followed(fuzzed: Fuzzed) -> None:
    [followed] = re.findall(r"(\d+) covered", fuzzed.said)

    assert int(followed) >= LINKS


@pytest.mark.parametrize("path", MADE)
def test_what_is_made_is_found_where_its_links_lead(fuzzed: Fuzzed, path: str) -> None:
    headers = {"Authorization": f"Bearer {fuzzed.stack.token('olga', *Scope)}", "Idempotency-Key": f"links-of-{path}"}
    targets = {operation["operationId"]: (method, where) for method, where, operation in fuzzed.operations()}
    read = 0

    with httpx.Client(base_url=fuzzed.stack.api_url, headers=headers, timeout=30) as http:
        made = http.post(path, json=MADE[path])
        described = fuzzed.document["paths"][path]["post"]["responses"][str(made.status_code)]
        for name, link in described["links"].items():
            method, where = targets[name]
            [(parameter, expression)] = link["parameters"].items()
            assert expression == "$response.body#/id"
            if method == "GET" and not where.endswith("/events"):
                found = http.get(where.replace(f"{{{parameter}}}", made.json()["id"]))
                # A report may have no file yet.
                assert found.status_code in (200, 409), where
                read += 1

    assert read >= 1


def test_by_its_own_count_the_api_gave_no_answer_that_is_not_documented(fuzzed: Fuzzed) -> None:
    documented = {
        (method, path, status) for method, path, operation in fuzzed.operations() for status in operation["responses"]
    }
    operations = {(method, path) for method, path, _ in fuzzed.operations()}

    given = {answer for answer in fuzzed.answers if answer[:2] in operations}

    assert given - documented == set()
    assert {answer for answer in fuzzed.answers if answer[2].startswith("5") and answer[2] != BUSY} == set()


@pytest.mark.parametrize("scopes", [None, ()], ids=["nobody", "without a scope"])
def test_who_may_not_is_told_so_as_documented(fuzzed: Fuzzed, scopes: tuple[str, ...] | None) -> None:
    headers = {} if scopes is None else {"Authorization": f"Bearer {fuzzed.stack.token('nobody', *scopes)}"}
    components = fuzzed.document["components"]

    with httpx.Client(base_url=fuzzed.stack.api_url, headers=headers, timeout=30) as http:
        for method, path, operation in fuzzed.operations():
            wanted = {
                scope for one in operation.get("security", ()) for scopes_of in one.values() for scope in scopes_of
            }
            if "security" not in operation or (scopes is not None and not wanted):
                continue
            answer = http.request(method, re.sub(r"\{\w+\}", "x", path))
            where = f"{method} {path}"
            assert answer.status_code == (401 if scopes is None else 403), where
            [[media_type, described]] = operation["responses"][str(answer.status_code)]["content"].items()
            assert answer.headers["content-type"] == media_type, where
            if method != "HEAD":
                Draft202012Validator({**described["schema"], "components": components}).validate(answer.json())
