"""The mail server keeps what it accepts, whatever it looks like, and shows it."""

import signal
import sqlite3
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import aiosmtplib
import pytest

from tests.integration.sandbox.conftest import Sandbox, Start, json_of, mail, running_sandbox

SENDER = "bounces@followthrough.example"


class Page(HTMLParser):
    """The start tags of a page, and what is in its frames."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.frames: list[dict[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "iframe":
            self.frames.append(dict(attrs))


async def test_a_mail_is_kept_as_its_receiver_sees_it(sandbox: Sandbox, to: str) -> None:
    before = datetime.now(UTC)

    reply = await sandbox.send(to, "<1@followthrough.example>")

    assert reply == "2.0.0 Kept"
    [message] = await sandbox.inbox(to)
    received_at = message.pop("received_at")
    assert message == {
        "message_id": "<1@followthrough.example>",
        "to": to,
        "from": "Føllowthrough <hello@followthrough.example>",
        "subject": "Velkommen, Åse",
        "text": "Bekreft på:\nhttps://shop.example/confirm?token=abc_-9\n",
        "html": "<p>Bekreft <a href='https://shop.example/confirm?token=abc_-9'>på</a></p>\n",
    }
    assert received_at.endswith("Z")
    assert before <= datetime.fromisoformat(received_at) <= datetime.now(UTC)
    assert [request | {"at": ""} for request in await sandbox.attempts(to)] == [
        {
            "at": "",
            "provider": "email",
            "operation": "send",
            "order_id": None,
            "to": to,
            "key": "<1@followthrough.example>",
            "fault": None,
            "status": 250,
            "replayed": False,
        }
    ]


async def test_a_mail_sent_again_is_seen_twice(sandbox: Sandbox, to: str) -> None:
    for message_id in ("<1@a.example>", "<2@a.example>", "<1@a.example>"):
        await sandbox.send(to, message_id)

    expected = ["<1@a.example>", "<2@a.example>", "<1@a.example>"]
    assert [message["message_id"] for message in await sandbox.inbox(to)] == expected
    assert [(attempt["key"], attempt["replayed"]) for attempt in await sandbox.attempts(to)] == [
        ("<1@a.example>", False),
        ("<2@a.example>", False),
        ("<1@a.example>", True),
    ]
    effects = json_of(await sandbox.http.get("/ledger"))
    assert [email for email in effects["emails"] if email["to"] == to] == [
        {"message_id": message_id, "to": to, "subject": "Velkommen, Åse"} for message_id in expected
    ]


async def test_each_recipient_gets_a_copy(sandbox: Sandbox, to: str) -> None:
    async with sandbox.smtp() as client:
        await client.sendmail(SENDER, [to, f"copy-{to}"], mail(to, "<1@a.example>").as_bytes())

    assert [message["to"] for message in await sandbox.inbox(to)] == [to]
    assert [message["to"] for message in await sandbox.inbox(f"copy-{to}")] == [f"copy-{to}"]
    assert [attempt["replayed"] for attempt in await sandbox.attempts(f"copy-{to}")] == [False]


async def test_a_mail_belongs_to_no_order(sandbox: Sandbox, order_id: str, to: str) -> None:
    await sandbox.send(to)

    assert (await sandbox.effects(order_id))["emails"] == []


async def test_addresses_and_headers_may_be_utf8(sandbox: Sandbox, to: str) -> None:
    async with sandbox.smtp() as client:
        await client.send_message(mail(f"åse-{to}", "<1@blåbær.example>"))

    [message] = await sandbox.inbox(f"åse-{to}")
    assert (message["to"], message["message_id"]) == (f"åse-{to}", "<1@blåbær.example>")
    assert message["subject"] == "Velkommen, Åse"


@pytest.mark.parametrize(
    ("content", "text", "html"),
    [
        (b"", "", None),
        (b"Subject: no body", "", None),
        (b"no headers", "no headers", None),
        (b"Message-ID:\r\nFrom: <>\r\nTo: ,;\r\n\r\nHi\r\n", "Hi\n", None),
        (b"Content-Type: text/html\r\n\r\n<b>Hi</b>\r\n", None, "<b>Hi</b>\n"),
        (b"Content-Type: text/plain; charset=no-such\r\n\r\nHi\r\n", None, None),
        (b"Content-Type: multipart/alternative\r\n\r\nHi\r\n", None, None),
        (b"Content-Type: text/plain; charset=utf-7\r\n\r\n+2AA-\r\n", None, None),
        (b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!\r\n", None, None),
        (b"Subject: \xff\x00\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xff\x00\r\n", "\ufffd\x00\n", None),
    ],
)
async def test_a_malformed_mail_is_kept_as_far_as_it_can_be_read(
    sandbox: Sandbox, to: str, content: bytes, text: str | None, html: str | None
) -> None:
    async with sandbox.smtp() as client:
        await client.sendmail(SENDER, [to], content)

    [message] = await sandbox.inbox(to)
    # The client ends a mail with a line break of its own.
    assert (message["text"] or "").rstrip("\n") == (text or "").rstrip("\n")
    assert (message["text"] is None, message["html"]) == (text is None, html)
    assert message["message_id"] is None
    assert (await sandbox.http.get("/inbox", params={"to": to})).status_code == 200


async def test_a_mail_may_have_a_mebibyte_and_no_more(sandbox: Sandbox, to: str) -> None:
    line = b"x" * 98 + b"\r\n"
    async with sandbox.smtp() as client:
        await client.sendmail(SENDER, [to], line * 10_000)
        # Announced, and found out.
        with pytest.raises(aiosmtplib.SMTPSenderRefused, match="552"):
            await client.sendmail(SENDER, [to], line * 11_000)
        await client.mail(SENDER)
        await client.rcpt(to)
        with pytest.raises(aiosmtplib.SMTPDataError, match="552"):
            await client.data(line * 11_000)

    assert len(await sandbox.inbox(to)) == 1


async def test_a_mail_may_have_a_hundred_recipients_and_no_more(sandbox: Sandbox, to: str) -> None:
    async with sandbox.smtp() as client:
        refused, _ = await client.sendmail(SENDER, [f"{number}-{to}" for number in range(101)], b"Subject: all\r\n")

    assert {address: reply.code for address, reply in refused.items()} == {f"100-{to}": 452}


async def test_mails_outlast_the_process(start: Start, to: str) -> None:
    async with start() as sandbox:
        await sandbox.send(to)
        before = await sandbox.inbox(to), await sandbox.attempts(to)
        sandbox.process.send_signal(signal.SIGKILL)
        await sandbox.process.wait()

    async with start() as sandbox:
        assert (await sandbox.inbox(to), await sandbox.attempts(to)) == before
        await sandbox.send(to)
        assert [attempt["replayed"] for attempt in await sandbox.attempts(to)] == [False, True]


async def test_a_ledger_from_before_there_was_mail_is_continued(tmp_path: Path, to: str) -> None:
    ledger = tmp_path / "ledger.sqlite"
    old = sqlite3.connect(ledger)
    old.execute(
        "CREATE TABLE requests (number INTEGER PRIMARY KEY, at TEXT NOT NULL, provider TEXT NOT NULL, "
        "operation TEXT NOT NULL, order_id TEXT, key TEXT, fault TEXT, status INTEGER, replayed INTEGER NOT NULL)"
    )
    old.execute(
        "INSERT INTO requests VALUES (1, '2025-01-01T00:00:00Z', 'payments', 'charge', 'ord_a', 'k', NULL, 200, 0)"
    )
    old.commit()
    old.close()

    async with running_sandbox(ledger) as sandbox:
        await sandbox.send(to)

        assert [request["to"] for request in json_of(await sandbox.http.get("/requests"))["requests"]] == [None, to]


async def test_the_page_shows_the_newest_mail_first(sandbox: Sandbox, to: str) -> None:
    await sandbox.send(to, "<first@a.example>")
    await sandbox.send(to, "<second@a.example>")

    response = await sandbox.http.get("/inbox", params={"to": to})

    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    page = unescape(response.text)
    assert page.index("Message-ID: <second@a.example>") < page.index("Message-ID: <first@a.example>")
    assert page.count("Velkommen, Åse</h2>") == page.count("<pre>Bekreft på:") == 2
    assert "No mail; to <nobody> alone" in unescape((await sandbox.http.get("/inbox", params={"to": "<nobody>"})).text)
    assert to in (await sandbox.http.get("/inbox")).text


async def test_the_page_runs_nothing_of_a_mail(sandbox: Sandbox, to: str) -> None:
    evil = """</title></pre></textarea></iframe>"'><script>alert(1)</script><img src=x onerror=alert(1)>"""
    message = mail(to, evil)
    message.replace_header("Subject", evil)
    message.replace_header("From", f'"{evil.replace(chr(34), "")}" <a@b.example>')
    message.clear_content()
    message.set_content(evil)
    message.add_alternative(evil, "html")
    async with sandbox.smtp() as client:
        await client.sendmail(SENDER, [to], message.as_bytes())

    response = await sandbox.http.get("/inbox", params={"to": to})

    [kept] = await sandbox.inbox(to)
    assert (kept["subject"], kept["html"].strip()) == (evil, evil)
    page = Page(response.text)
    assert not {"script", "img"} & set(page.tags)
    [frame] = page.frames
    assert frame["srcdoc"] == f'<base target="_blank">{kept["html"]}'
    assert not {"allow-scripts", "allow-same-origin"} & set((frame["sandbox"] or "").split())
    assert "//" not in response.text
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "script-src" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
