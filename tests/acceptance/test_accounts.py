"""Signing up and what follows, over HTTP."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from contracts.accounts import AccountStatus
from tests.acceptance.client import POLL_S, WITHIN_S, Caller, Door, assert_problem, new_key
from tests.accounts import NewAccount, new_address, token_in
from tests.shop import Shop
from tests.stack_session import RunningStack

Json = dict[str, Any]


async def sign_up(http: httpx.AsyncClient, key: str | None = None, **changes: Any) -> httpx.Response:
    body = {"email": new_address(), "name": "Ada", **changes}
    return await http.post("/v1/accounts", json=body, headers={"Idempotency-Key": key} if key else {})


async def signed_up(http: httpx.AsyncClient, **changes: Any) -> Json:
    answer = await sign_up(http, **changes)
    assert answer.status_code == 201, answer.text
    account: Json = answer.json()
    return account


def owner(door: Door, account: Json) -> Caller:
    """Whoever signed up, with a token that has no scope."""
    return Caller(door.http, door.stack, account["id"])


async def mails(stack: RunningStack, address: str, count: int) -> list[Json]:
    """The mails to this address, once there are as many."""
    async with httpx.AsyncClient(base_url=stack.sandbox_url) as sandbox, asyncio.timeout(WITHIN_S):
        while True:
            found: list[Json] = (await sandbox.get("/inbox.json", params={"to": address})).json()["messages"]
            if len(found) >= count:
                return found
            await asyncio.sleep(POLL_S)


async def test_a_sign_up_is_answered_with_the_account(http: httpx.AsyncClient) -> None:
    email = new_address()

    answer = await sign_up(http, email=email.upper(), name="  Ada  ")

    assert answer.status_code == 201
    account = answer.json()
    assert set(account) == {"id", "email", "name", "status", "created_at", "links"}
    assert (account["email"], account["name"], account["status"]) == (email, "Ada", "pending")
    assert account["created_at"].endswith("Z")
    assert answer.headers["location"] == account["links"]["self"] == f"/v1/accounts/{account['id']}"


async def test_the_link_in_the_mail_confirms_the_address(
    http: httpx.AsyncClient, door: Door, stack: RunningStack
) -> None:
    account = await signed_up(http)
    [mail] = await mails(stack, account["email"], 1)
    token = token_in(mail)
    assert "=" not in token

    for _ in range(2):
        confirmed = await http.post("/v1/accounts/confirm", json={"token": token})
        assert (confirmed.status_code, confirmed.json()["status"]) == (200, "confirmed")

    assert (await owner(door, account).get(account["links"]["self"])).json()["status"] == "confirmed"
    assert len(await mails(stack, account["email"], 1)) == 1


async def test_the_page_behind_the_link_confirms_only_when_its_button_is_pressed(
    http: httpx.AsyncClient, door: Door, stack: RunningStack
) -> None:
    account = await signed_up(http)
    token = token_in((await mails(stack, account["email"], 1))[0])

    page = await http.get("/confirm", params={"token": token})
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert f'action="/confirm?token={token}"' in page.text
    assert (await owner(door, account).get(account["links"]["self"])).json()["status"] == "pending"

    assert (await http.post("/confirm", params={"token": token})).status_code == 200
    assert (await owner(door, account).get(account["links"]["self"])).json()["status"] == "confirmed"
    assert (await http.post("/confirm", params={"token": "<script>"})).status_code == 422
    assert "<script>" not in (await http.get("/confirm", params={"token": "<script>"})).text


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "N{GRINNING FACE}", "x" * 2_001])
async def test_no_other_token_confirms_anything(http: httpx.AsyncClient, token: str) -> None:
    answer = await http.post("/v1/accounts/confirm", json={"token": token})

    assert answer.status_code == 422
    assert answer.json()["code"] in ("confirmation_invalid", "invalid_request")


async def test_a_taken_address_is_answered_like_a_fresh_one_and_its_owner_is_told(
    http: httpx.AsyncClient, door: Door, stack: RunningStack
) -> None:
    first = await signed_up(http)
    answer = await sign_up(http, email=first["email"], name="Eve")

    assert answer.status_code == 201
    second = answer.json()
    assert set(second) == set(first)
    assert (second["email"], second["name"], second["status"]) == (first["email"], "Eve", "pending")
    assert second["id"] != first["id"]
    for caller in (owner(door, second), door.operator()):
        assert_problem(await caller.get(second["links"]["self"]), 404, "not_found")
    # Each is sent by a process of its own.
    subjects = {mail["subject"] for mail in await mails(stack, first["email"], 2)}
    assert subjects == {"Welcome! Please confirm your address", "You already have an account"}
    # The owner's name stays, whatever the stranger gave.
    assert (await owner(door, first).get(first["links"]["self"])).json()["name"] == "Ada"


async def test_a_key_makes_a_lost_answer_repeatable(http: httpx.AsyncClient, stack: RunningStack) -> None:
    key, email = new_key(), new_address()
    first = await sign_up(http, key, email=email)
    again = await sign_up(http, key, email=email)
    taken_key = new_key()
    taken, taken_again = [await sign_up(http, taken_key, email=email) for _ in range(2)]

    assert [answer.status_code for answer in (first, again, taken, taken_again)] == [201] * 4
    assert first.json() == again.json()
    assert taken.json() == taken_again.json() != first.json()
    assert [answer.headers.get("idempotent-replayed") for answer in (first, again)] == [None, "true"]
    assert_problem(await sign_up(http, key, email=email, name="Eve"), 422, "idempotency_key_reused")
    assert_problem(await sign_up(http, "a key"), 400, "idempotency_key_invalid")
    assert len(await mails(stack, email, 2)) == 2


async def test_many_sign_ups_at_once_with_one_key_are_one(http: httpx.AsyncClient, stack: RunningStack) -> None:
    key, email = new_key(), new_address()

    answers = await asyncio.gather(*(sign_up(http, key, email=email) for _ in range(20)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await mails(stack, email, 1)) == 1


async def test_many_sign_ups_at_once_for_one_address_open_one_account(
    http: httpx.AsyncClient, door: Door, stack: RunningStack
) -> None:
    email = new_address()

    answers = await asyncio.gather(*(sign_up(http, email=email) for _ in range(20)))

    found = [await door.operator().get(answer.json()["links"]["self"]) for answer in answers]
    assert sorted(answer.status_code for answer in found) == [200, *[404] * 19]
    subjects = sorted(mail["subject"] for mail in await mails(stack, email, 2))
    assert subjects == ["Welcome! Please confirm your address", "You already have an account"]


@pytest.mark.parametrize(
    "changes",
    [
        {"email": "ada"},
        {"email": "ada@"},
        {"email": "@example.com"},
        {"email": "ada@localhost"},
        {"email": "ada@example..com"},
        {"email": "ada lovelace@example.com"},
        {"email": "ada@example.com\nBcc: eve@example.com"},
        {"email": "Ada <ada@example.com>"},
        {"email": "ada\u0000@example.com"},
        {"email": f"{'a' * 250}@example.com"},
        {"email": 1},
        {"email": None},
        {"name": ""},
        {"name": "Ada\r\nBcc: eve@example.com"},
        {"name": "A" * 201},
        {"name": None},
        {"admin": True},
    ],
    ids=repr,
)
async def test_bad_sign_ups_are_refused_by_field(http: httpx.AsyncClient, changes: Json) -> None:
    problem = assert_problem(await sign_up(http, **changes), 422, "invalid_request")

    assert [error["field"] for error in problem["errors"]] == list(changes)


async def test_names_in_any_script_arrive_as_they_are(http: httpx.AsyncClient, stack: RunningStack) -> None:
    name = 'Åsa "李" <b>Öz</b>, & Co'

    account = await signed_up(http, name=name)

    [mail] = await mails(stack, account["email"], 1)
    assert f"Hello {name}," in mail["text"]
    assert "<b>Öz</b>" not in mail["html"]


async def test_a_link_is_sent_again_at_most_once_a_minute(
    http: httpx.AsyncClient, door: Door, stack: RunningStack
) -> None:
    account = await signed_up(http)
    url = account["links"]["resend"]

    first = await owner(door, account).post(url)
    second = await owner(door, account).post(url)

    assert (first.status_code, first.json()["id"]) == (202, account["id"])
    assert_problem(second, 429, "rate_limited")
    assert 0 < int(second.headers["retry-after"]) <= 60
    assert len(await mails(stack, account["email"], 2)) == 2


async def test_a_confirmed_account_has_nothing_to_resend(
    http: httpx.AsyncClient, door: Door, stack: RunningStack
) -> None:
    account = await signed_up(http)
    token = token_in((await mails(stack, account["email"], 1))[0])
    await http.post("/v1/accounts/confirm", json={"token": token})

    answer = await owner(door, account).post(account["links"]["resend"])

    assert_problem(answer, 409, "not_awaiting_confirmation")


async def test_an_account_is_its_owners_and_the_operators_to_see(http: httpx.AsyncClient, door: Door) -> None:
    account = await signed_up(http)
    url = account["links"]["self"]

    assert (await owner(door, account).get(url)).json() == account
    assert (await door.operator().get(url)).status_code == 200
    stranger = door.customer("orders:write", "webhooks:write")
    for answer in (
        await stranger.get(url),
        await stranger.post(account["links"]["resend"]),
        await http.delete(url, headers=stranger.headers),
        await stranger.get("/v1/accounts/no-id"),
        await stranger.get(f"/v1/accounts/{'x' * 5_000}"),
        await stranger.get("/v1/accounts/%00"),
    ):
        assert_problem(answer, 404, "not_found")
    assert_problem(await http.get(url), 401, "unauthenticated")
    assert_problem(await http.get("/v1/accounts"), 401, "unauthenticated")


async def test_the_status_is_what_the_welcome_says(http: httpx.AsyncClient, door: Door, shop: Shop) -> None:
    account = await signed_up(http)
    welcome = NewAccount(shop, account["id"], account["email"])
    await welcome.until_mails("welcome")

    # Told to the workflow alone: our books still have the account as pending.
    await welcome.handle.signal("confirmed")

    assert (await owner(door, account).get(account["links"]["self"])).json()["status"] == "confirmed"
    in_our_books = await welcome.repository.find(account["id"])
    assert in_our_books is not None
    assert in_our_books.status is AccountStatus.PENDING


async def test_a_deleted_account_is_gone_and_its_address_free(
    http: httpx.AsyncClient, door: Door, stack: RunningStack
) -> None:
    account = await signed_up(http)
    me = owner(door, account)
    token = token_in((await mails(stack, account["email"], 1))[0])

    deleted = await http.delete(account["links"]["self"], headers=me.headers)

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert_problem(await me.get(account["links"]["self"]), 404, "not_found")
    assert_problem(await http.delete(account["links"]["self"], headers=me.headers), 404, "not_found")
    confirmed = await http.post("/v1/accounts/confirm", json={"token": token})
    assert_problem(confirmed, 422, "confirmation_invalid")
    again = await signed_up(http, email=account["email"])
    assert (await owner(door, again).get(again["links"]["self"])).status_code == 200


async def test_the_key_of_a_deleted_account_is_forgotten(http: httpx.AsyncClient, door: Door) -> None:
    key, email = uuid4().hex, new_address()
    account = (await sign_up(http, key, email=email)).json()
    await http.delete(account["links"]["self"], headers=owner(door, account).headers)

    again = await sign_up(http, key, email=email)

    assert again.json()["id"] != account["id"]
