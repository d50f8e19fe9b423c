"""No secret, and nobody's address, in anything that is written down for others: logs, histories, errors, metrics."""

import asyncio
import base64
import json
import re
import subprocess
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from stack.home import Home
from tests.acceptance.client import Caller, Door, order_body
from tests.acceptance.visitor import visiting
from tests.accounts import token_in
from tests.inbound_events import encoded, payment_event, stripe_headers
from tests.shop import POLL_S, WITHIN_S, Shop
from tests.stack_session import CANARIES, FOLLOWTHROUGH, RunningStack, clean_environment, followthrough
from tests.temporal_databases import dump
from tests.webhooks import answer, hook

# What a caller may type into the wrong field (a test number of the card networks' own).
CARD = "4242424242424242"
MARK = uuid4().hex[:8]
STREET, EMAIL = f"Canary{MARK} Street 9", f"canary-{MARK}@example.com"


class Seen:
    """Every secret that this stack has, was given or has given away, by a name that may be shown."""

    def __init__(self, stack: RunningStack) -> None:
        home = Home(stack.home)
        kept = asdict(home.secrets())
        del kept["home_id"]
        kept["payload_keys"] = kept["payload_keys"].partition("=")[2]
        self.secrets: dict[str, str] = {**kept, **CANARIES}
        self.secrets["signing key"] = home.signing_key.read_text().splitlines()[1]
        self.secrets |= {"card": CARD, "street": STREET, "e-mail address": EMAIL}

    def named_in(self, text: str | bytes) -> set[str]:
        content = text.encode() if isinstance(text, str) else text
        return {name for name, secret in self.secrets.items() if secret.encode() in content}


async def test_no_secret_is_written_down_for_others(
    stack: RunningStack, shop: Shop, door: Door, http: httpx.AsyncClient
) -> None:
    seen, refusals = Seen(stack), list[httpx.Response]()
    customer, operator = door.customer("orders:write", "webhooks:write", "jobs:write"), door.operator()
    for name, caller in (("customer's token", customer), ("operator's token", operator)):
        seen.secrets[name] = caller.headers["Authorization"].removeprefix("Bearer ")

    # Orders: one whose providers fail before and after they have acted, one with a card's number; webhooks that fail.
    async with hook(answer(500), answer(200)) as receiver:
        endpoint = await customer.post(
            "/v1/webhook-endpoints", json={"url": receiver.url(), "event_types": ["order.*"]}
        )
        seen.secrets["webhook endpoint's secret"] = endpoint.json()["secret"]
        faults = (("charge", "error_before"), ("charge", "timeout_after"), ("ship", "unavailable"))
        body = order_body(ship_to={**order_body()["ship_to"], "line1": STREET})
        placed = (await customer.place(body)).json()
        for operation, behaviour in faults:
            await shop.ledger.misbehave(placed["id"], operation, behaviour, times=1, delay_s=0.1)
        refusals.append(await customer.place({**body, "payment_method": CARD}))
        by_number = await customer.place({**body, "payment_method": f"pm_{CARD}"})
        assert by_number.status_code == 202, by_number.text
        await customer.until(placed["id"], "completed")
        await receiver.until(lambda messages: len(messages) >= 2)
    # A sign-up, its link, and one that was made up; a page's session.
    signed_up = await http.post("/v1/accounts", json={"email": EMAIL, "name": "Ada"})
    assert signed_up.status_code == 201, signed_up.text
    async with asyncio.timeout(WITHIN_S):
        while not (mails := await shop.ledger.mails(EMAIL)):
            await asyncio.sleep(POLL_S)
    seen.secrets["confirmation token"] = token_in(mails[0])
    refusals.append(await http.post("/v1/accounts/confirm", json={"token": seen.secrets["confirmation token"] + "x"}))
    confirmed = await http.post("/v1/accounts/confirm", json={"token": seen.secrets["confirmation token"]})
    assert confirmed.status_code == 200, confirmed.text
    async with visiting(stack) as visitor:
        await visitor.sign_in(seen.secrets["customer's token"])
        seen.secrets["session"] = visitor.cookie
        await visitor.open("/shop/orders")
        refusals.append(await visitor.send("/shop", {"key": "x", "csrf": "made-up"}))
    refusals += await refused(seen, customer, http)
    # This one is told where it asked; nobody else is.
    assert (await customer.get(f"/v1/{EMAIL}")).json()["instance"] == f"/v1/{EMAIL}"

    assert len([answer for answer in refusals if answer.status_code >= 400]) == len(refusals)
    for refusal in refusals:
        assert seen.named_in(refusal.text + str(refusal.headers)) <= {"session"}, refusal.text
    logs = {path.name: seen.named_in(path.read_bytes()) for path in (stack.home / "logs").iterdir()}
    assert {"api.log", "worker.log", "temporal.log", "postgres.log", "sandbox.log", "up.log"} <= logs.keys()
    # The sandbox stands for others: what they write down of what they are sent is theirs.
    assert {name: found for name, found in logs.items() if found and name != "sandbox.log"} == {}
    for url in stack.metrics.values():
        assert seen.named_in((await http.get(url)).text) == set(), url
    dumped = await dump(stack)
    assert dumped.where(placed["id"])
    for name, secret in seen.secrets.items():
        assert dumped.where(secret) == [], name


async def refused(seen: Seen, customer: Caller, http: httpx.AsyncClient) -> list[httpx.Response]:
    """Requests that hold secrets, in the wrong place or changed a little."""
    token = seen.secrets["customer's token"]
    event = encoded(payment_event("payment_intent.succeeded", {"id": f"pi_{MARK}"}))
    signature = stripe_headers(seen.secrets["payments_webhook_secret"] + "x", event)
    json_type = {"Content-Type": "application/json"}
    return [
        await http.get("/v1/orders", headers={"Authorization": f"Bearer {token[:-3]}abc"}),
        await http.get("/v1/orders", headers={"Authorization": f"Basic {token}"}),
        await customer.get("/v1/orders", cursor=token),
        await customer.get(f"/v1/orders/{token[:200]}"),
        await customer.post("/v1/orders", {"Idempotency-Key": "k", **json_type}, content=f"{{{STREET}".encode()),
        await customer.place({"lines": STREET, "ship_to": {"line1": [STREET]}, "payment_method": {CARD: EMAIL}}),
        await http.post("/v1/accounts", json={"email": f"{EMAIL} {EMAIL}", "name": [STREET]}),
        await http.post("/v1/inbound/payments", content=event, headers={**signature, **json_type}),
        await customer.post("/v1/jobs", {"Idempotency-Key": "j"}, json={"type": STREET, "arguments": {EMAIL: CARD}}),
        await customer.post("/v1/webhook-endpoints", json={"url": f"https://u:{CARD}@127.0.0.1/", "event_types": []}),
        await customer.post("/codec/decode", json={"payloads": [{"data": STREET}]}),
    ]


def test_no_secret_is_shown_by_the_command_line_or_to_who_lists_processes(stack: RunningStack) -> None:
    seen = Seen(stack)
    status = stack.status()
    # Whoever may ask for it may read the home.
    url = status.pop("database_url")

    assert seen.named_in(json.dumps(status)) == set()
    assert seen.named_in(url) == {"database_password"}
    for command in (("status",), ("doctor",)):
        done = followthrough(*command, "--home", str(stack.home))
        assert done.stdout, command
        assert seen.named_in(done.stdout + done.stderr) == set(), command
    commands = [psutil.Process(process["pid"]).cmdline() for process in status["processes"].values()]
    assert len(commands) == 6
    assert seen.named_in(json.dumps(commands)) == set()


BAD = {
    "DATABASE_URL": f"mysql://followthrough:canary-database-{MARK}@127.0.0.1/books",
    "FOLLOWTHROUGH_PAYLOAD_KEYS": f"one=canary-payload-{MARK}",
    "FOLLOWTHROUGH_CONFIRMATION_SECRET": f"canary-short-{MARK}",
    "FOLLOWTHROUGH_WEBHOOKS_SYSTEM_SECRETS": f"warehouse=canary-system-{MARK}",
    "FOLLOWTHROUGH_JWKS_URL": f"http://user:canary-jwks-{MARK}@issuer.example/",
}
GOOD = {
    "FOLLOWTHROUGH_WEBHOOKS_SYSTEM_RECEIVERS": "warehouse=https://warehouse.example/",
    "FOLLOWTHROUGH_WEBHOOKS_SYSTEM_SECRETS": "warehouse=whsec_" + base64.b64encode(b"canary-system" * 2).decode(),
    "DATABASE_URL": f"postgresql://followthrough:canary-database-{MARK}@127.0.0.1:1/books",
    "FOLLOWTHROUGH_JWKS_URL": "file:///nowhere.json",
    "FOLLOWTHROUGH_OBJECT_STORE_URL": "file:///tmp",
    "FOLLOWTHROUGH_PAYMENTS_API_KEY": f"canary-payments-{MARK}",
    "FOLLOWTHROUGH_CARRIER_API_KEY": f"canary-carrier-{MARK}",
    "FOLLOWTHROUGH_CARRIER_URL": "http://127.0.0.1:1",
    "FOLLOWTHROUGH_CONFIRMATION_SECRET": f"canary-confirmation-{MARK}" + "0" * 32,
    "FOLLOWTHROUGH_SESSION_SECRET": f"canary-session-{MARK}" + "0" * 32,
    "TEMPORAL_ADDRESS": "127.0.0.1:1",
}


@pytest.mark.parametrize(
    ("part", "variable"),
    [
        ("api", "DATABASE_URL"),
        ("api", "FOLLOWTHROUGH_PAYLOAD_KEYS"),
        ("api", "FOLLOWTHROUGH_JWKS_URL"),
        ("worker", "FOLLOWTHROUGH_CONFIRMATION_SECRET"),
        ("worker", "FOLLOWTHROUGH_WEBHOOKS_SYSTEM_SECRETS"),
        ("migrate", "that Postgres is away"),
    ],
)
def test_a_part_that_cannot_start_says_why_and_no_secret(tmp_path: Path, part: str, variable: str) -> None:
    bad = {variable: BAD[variable]} if variable in BAD else {}
    crashed = subprocess.run(
        [*FOLLOWTHROUGH, part, "--home", str(tmp_path / "nobody's")],
        env={**clean_environment(), **GOOD, **bad, "FOLLOWTHROUGH_API_METRICS_PORT": "0", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    said = crashed.stdout + crashed.stderr
    assert crashed.returncode != 0
    assert said
    assert not re.search(r"canary|\*{4,}@", said), said
