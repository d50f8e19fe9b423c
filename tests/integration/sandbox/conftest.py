"""A real sandbox process and a client of it; every test keeps to an order of its own."""

import asyncio
import itertools
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import httpx
import pytest

Json = dict[str, Any]


def json_of(response: httpx.Response) -> Json:
    """The JSON object a response carries."""
    body: Json = response.json()
    return body


class Sandbox:
    """The sandbox over HTTP and SMTP, as its clients and the tests of other parts see it."""

    def __init__(self, process: asyncio.subprocess.Process, http: httpx.AsyncClient, smtp_port: int) -> None:
        self.process = process
        self.http = http
        self.smtp_port = smtp_port

    async def charge(
        self, order_id: str, key: str | None = None, *, step: str = "charge", **changed: str
    ) -> httpx.Response:
        form = {
            "amount": "2000",
            "currency": "usd",
            "payment_method": "pm_card_visa",
            "confirm": "true",
            "error_on_requires_action": "true",
            "metadata[order_id]": order_id,
            "metadata[step]": step,
        }
        return await self.http.post(
            "/payments/v1/payment_intents",
            data={**form, **changed},
            headers={"Idempotency-Key": key or f"{order_id}/{step}"},
        )

    async def refund(self, order_id: str, intent: str, key: str | None = None, **more: str) -> httpx.Response:
        return await self.http.post(
            "/payments/v1/refunds",
            data={"payment_intent": intent, "metadata[order_id]": order_id, "metadata[step]": "refund", **more},
            headers={"Idempotency-Key": key or f"{order_id}/refund"},
        )

    async def ship(self, order_id: str, key: str | None = None, /, **changed: object) -> httpx.Response:
        body = {
            "order_id": order_id,
            "ship_to": {"name": "Ada", "line1": "12 Long St", "city": "Oslo", "country": "NO"},
            "parcels": [{"sku": "TEE-BLACK-M", "quantity": 2}],
        }
        return await self.http.post(
            "/carrier/v1/shipments", json={**body, **changed}, headers={"Idempotency-Key": key or f"{order_id}/ship"}
        )

    async def cancel(self, order_id: str, shipment: str) -> httpx.Response:
        return await self.http.post(
            f"/carrier/v1/shipments/{shipment}/cancel", headers={"Idempotency-Key": f"{order_id}/cancel_shipment"}
        )

    async def track(self, shipment: str) -> Json:
        return json_of(await self.http.get(f"/carrier/v1/shipments/{shipment}"))

    async def travels(self, match: str, *steps: str, **plan: object) -> None:
        response = await self.http.post("/journeys", json={"match": match, "steps": steps, **plan})
        assert response.status_code == 201, response.text

    async def tracking(self, order_id: str) -> list[Json]:
        """The steps that the order's shipments took, with what became of their webhooks."""
        return list(json_of(await self.http.get("/tracking", params={"order_id": order_id}))["tracking"])

    async def has_taken(self, order_id: str, steps: int) -> list[Json]:
        """Return once so many steps were taken; each look is a round trip, so this is no busy loop."""
        while len(taken := await self.tracking(order_id)) < steps:
            pass
        return taken

    async def send(self, to: str, message_id: str = "<welcome@followthrough.example>") -> str:
        """Send a mail over a connection of its own and return the server's last words; raises what aiosmtplib does."""
        client = self.smtp()
        await client.connect()
        try:
            _, reply = await client.send_message(mail(to, message_id))
            return reply
        finally:
            # Not with QUIT, which a server that keeps silent doesn't answer.
            client.close()

    def smtp(self) -> aiosmtplib.SMTP:
        """A client that is not connected yet."""
        return aiosmtplib.SMTP(hostname="127.0.0.1", port=self.smtp_port, start_tls=False, timeout=10)

    async def inbox(self, to: str) -> list[Json]:
        response = await self.http.get("/inbox.json", params={"to": to})
        return list(json_of(response)["messages"])

    async def attempts(self, to: str) -> list[Json]:
        """What the request log holds of mails to this recipient."""
        response = await self.http.get("/requests", params={"to": to})
        return list(json_of(response)["requests"])

    async def fault(self, match: str, provider: str, operation: str, behaviour: str, **more: object) -> Json:
        plan = {"provider": provider, "operation": operation, "behaviour": behaviour, "match": match, **more}
        response = await self.http.post("/faults", json=plan)
        assert response.status_code == 201, response.text
        return json_of(response)

    async def times_fired(self, fault: Json) -> int:
        listed = json_of(await self.http.get("/faults"))["faults"]
        [fired] = [int(known["fired"]) for known in listed if known["id"] == fault["id"]]
        return fired

    async def has_fired(self, fault: Json) -> None:
        """Return once the fault holds a request; each look is a round trip, so this is no busy loop."""
        while not await self.times_fired(fault):
            pass

    async def effects(self, order_id: str) -> Json:
        return json_of(await self.http.get("/ledger", params={"order_id": order_id}))

    async def requests(self, order_id: str, **filters: str) -> list[Json]:
        response = await self.http.get("/requests", params={"order_id": order_id, **filters})
        return list(json_of(response)["requests"])

    async def search(self, order_id: str, step: str = "charge") -> list[Json]:
        query = f"metadata['order_id']:'{order_id}' AND metadata['step']:'{step}'"
        found = await self.http.get("/payments/v1/payment_intents/search", params={"query": query})
        return list(json_of(found)["data"])


def mail(to: str, message_id: str) -> EmailMessage:
    """A mail in two forms, with letters that are no ASCII in its subject and text."""
    message = EmailMessage()
    message["From"] = "Føllowthrough <hello@followthrough.example>"
    message["To"] = to
    message["Subject"] = "Velkommen, Åse"
    message["Message-ID"] = message_id
    message.set_content("Bekreft på:\nhttps://shop.example/confirm?token=abc_-9\n")
    message.add_alternative("<p>Bekreft <a href='https://shop.example/confirm?token=abc_-9'>på</a></p>\n", "html")
    return message


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def running_sandbox(ledger: Path, *more: str, **variables: str) -> AsyncIterator[Sandbox]:
    """A process of its own, killed at the end if it is still there."""
    port, smtp_port = _free_port(), _free_port()
    options = ("--port", str(port), "--smtp-port", str(smtp_port), "--ledger", str(ledger), *more)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sandbox", *options, env={**os.environ, **variables}
    )
    headers = {"Authorization": "Bearer sk_test_followthrough"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=10) as http:
        try:
            async with asyncio.timeout(20):
                while not await _answers(http):
                    assert process.returncode is None, "the sandbox ended while starting"
                    await asyncio.sleep(0.01)
            yield Sandbox(process, http, smtp_port)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _answers(http: httpx.AsyncClient) -> bool:
    with suppress(httpx.ConnectError):
        return json_of(await http.get("/healthz")) == {"status": "ok"}
    return False


Start = Callable[[], AbstractAsyncContextManager[Sandbox]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start a sandbox for one test; started again, it continues the same ledger."""
    return lambda: running_sandbox(tmp_path / "books" / "ledger.sqlite")


@pytest.fixture(scope="session")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    """One sandbox for all tests that leave it running."""
    async with running_sandbox(tmp_path_factory.mktemp("sandbox") / "ledger.sqlite") as running:
        yield running


@pytest.fixture(scope="session")
def order_numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def order_id(order_numbers: Iterator[int]) -> str:
    """An order no other test uses."""
    return f"ord_{next(order_numbers):026d}"


@pytest.fixture
def to(order_numbers: Iterator[int]) -> str:
    """A recipient no other test uses."""
    return f"ase+{next(order_numbers)}@mail.example"
