"""The demo's sign-up: the mail that it leads to, printed, and its link followed."""

import asyncio
import re
import time
from typing import Any
from uuid import uuid4

import httpx
from rich.text import Text

from stack.demo_view import open_console

WITHIN_S = 20.0
POLL_S = 0.05
LINK = re.compile(r"\?token=([A-Za-z0-9_.-]+)")


async def welcome(api_url: str, sandbox: httpx.AsyncClient) -> list[str]:
    """Sign somebody up, print the mail and confirm the address. Returns what was off."""
    address = f"ada-{uuid4().hex[:8]}@example.com"
    async with httpx.AsyncClient(base_url=api_url, timeout=10) as api:
        signed_up = await api.post("/v1/accounts", json={"email": address, "name": "Ada"})
        signed_up.raise_for_status()
        mail = await _mail_to(address, sandbox)
        if mail is None:
            return [f"no welcome mail for {address} arrived within {WITHIN_S:.0f} s"]
        console = open_console()
        console.rule("The welcome mail", align="left")
        text = Text(f"To: {mail['to']}\nSubject: {mail['subject']}\n\n{mail['text'].strip()}")
        # Unbroken, so that its link can be copied.
        console.print(text, soft_wrap=True)
        console.rule()
        link = LINK.search(mail["text"])
        if link is None:
            return [f"the welcome mail for {address} has no link"]
        confirmed = await api.post("/v1/accounts/confirm", json={"token": link[1]})
        status = confirmed.raise_for_status().json()["status"]
    console.print(f"Its link was followed: account {signed_up.json()['id']} is {status}.\n")
    return [] if status == "confirmed" else [f"the account of {address} is {status}, not confirmed"]


async def _mail_to(address: str, sandbox: httpx.AsyncClient) -> dict[str, Any] | None:
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        messages = (await sandbox.get("/inbox.json", params={"to": address})).raise_for_status().json()["messages"]
        if messages:
            found: dict[str, Any] = messages[0]
            return found
        await asyncio.sleep(POLL_S)
    return None
