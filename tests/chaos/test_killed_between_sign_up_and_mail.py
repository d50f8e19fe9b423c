"""Whatever is killed between sign-ups and their mails: everybody gets the welcome, and it is one logical mail."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.chaos.figures import Figures
from tests.stack_session import bring_up, status, throw_away

SIGN_UPS = 200
AT_ONCE = 20
KILLED_AFTER = (40, 100, 160)
EACH_WITHIN_S = 60.0
ALL_WITHIN_S = 120.0
POLL_S = 0.05


@pytest.fixture(scope="module")
def whole_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a worker too, whose supervisor replaces what is killed."""
    path = tmp_path_factory.mktemp("sign-ups") / "home"
    try:
        bring_up(path, FOLLOWTHROUGH_SIGN_UPS_PER_MINUTE="1000000", FOLLOWTHROUGH_RATE_LIMIT_PER_SECOND="100000")
        yield path
    finally:
        throw_away(path)


@pytest.mark.parametrize("victim", ["worker", "api", "temporal", "postgres"])
async def test_every_sign_up_gets_one_logical_mail(whole_home: Path, figures: Figures, victim: str) -> None:
    figure = figures.begin(f"{victim}, {len(KILLED_AFTER)} times amid sign-ups", SIGN_UPS)
    stack = status(whole_home)
    addresses = [f"{victim}-{number}@example.com" for number in range(SIGN_UPS)]
    slots = asyncio.Semaphore(AT_ONCE)
    answered = 0

    async with httpx.AsyncClient(base_url=stack["api_url"], timeout=10) as http:

        async def sign_up(address: str) -> str:
            nonlocal answered
            async with slots:
                account_id = await insist(http, address)
            answered += 1
            return account_id

        async with asyncio.timeout(ALL_WITHIN_S):
            signing_up = [asyncio.create_task(sign_up(address)) for address in addresses]
            for count in KILLED_AFTER:
                while answered < count:
                    await asyncio.sleep(POLL_S)
                await kill(whole_home, victim)
            ids = await asyncio.gather(*signing_up)

    mails = await until_everybody_has_mail(stack["sandbox_url"], addresses)
    welcomes = {mail["to"]: set[str]() for mail in mails}
    for mail in mails:
        welcomes[mail["to"]].add(mail["message_id"].split(".")[0].removeprefix("<"))
    assert welcomes == {address: {account_id} for address, account_id in zip(addresses, ids, strict=True)}
    connection = await asyncpg.connect(stack["database_url"])
    assert await connection.fetchval("SELECT count(*) FROM followthrough.outbox") == 0
    await connection.close()
    twice = sum(count - 1 for count in Counter(mail["message_id"] for mail in mails).values())
    figure.verdict = f"{len(welcomes)} welcomed; {twice} handed in twice under the same Message-ID"


async def insist(http: httpx.AsyncClient, address: str) -> str:
    """Sign up, asking again under the same key for as long as there is no answer."""
    async with asyncio.timeout(EACH_WITHIN_S):
        while True:
            try:
                answer = await http.post(
                    "/v1/accounts", json={"email": address, "name": "Ada"}, headers={"Idempotency-Key": address}
                )
            except httpx.TransportError:
                await asyncio.sleep(POLL_S)
                continue
            if answer.status_code == 201:
                return str(answer.json()["id"])
            assert answer.status_code == 503, answer.text
            await asyncio.sleep(POLL_S)


async def kill(home: Path, victim: str) -> None:
    """Kill the process, once it is there."""
    while True:
        pid = (await asyncio.to_thread(status, home))["processes"][victim]["pid"]
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            return


async def until_everybody_has_mail(sandbox_url: str, addresses: list[str]) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=sandbox_url) as sandbox, asyncio.timeout(ALL_WITHIN_S):
        while True:
            messages = (await sandbox.get("/inbox.json")).json()["messages"]
            mails = [mail for mail in messages if mail["to"] in set(addresses)]
            if {mail["to"] for mail in mails} == set(addresses):
                return mails
            await asyncio.sleep(POLL_S)
