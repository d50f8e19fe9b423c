"""What one attempt does on the wire, against real servers on loopback."""

import asyncio
import itertools
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from providers.webhook_sender import WebhookAnswer, WebhookSender, WebhookUnreachable, retry_after_s
from providers.webhook_urls import Resolver, UrlNotAllowed, WebhookUrlPolicy
from tests.integration.webhooks.receivers import OK, Authority, receiving

BODY = b'{"type":"order.completed"}'
HEADERS = {"Content-Type": "application/json", "webhook-id": "whd_1"}
SHORT_S = 0.1


def sender_to(
    *allowed: str,
    address: str = "127.0.0.1",
    timeout_s: float = 10,
    tls: ssl.SSLContext | None = None,
) -> WebhookSender:
    """Sends to these "host:port" alone, all at this address."""
    urls = WebhookUrlPolicy(allowed_hosts=frozenset(allowed), resolver=always(address))
    return WebhookSender(urls, timeout_s=timeout_s, tls=tls)


def always(*addresses: str) -> Resolver:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


async def send_to(port: int, path: str = "/", *, timeout_s: float = 10) -> WebhookAnswer:
    sender = sender_to(f"127.0.0.1:{port}", timeout_s=timeout_s)
    return await sender.send(f"http://127.0.0.1:{port}{path}", headers=HEADERS, body=BODY)


async def refused_by(sending: Awaitable[WebhookAnswer]) -> WebhookUnreachable:
    with pytest.raises(WebhookUnreachable) as unreachable:
        await sending
    return unreachable.value


# Where it connects


async def test_it_connects_to_the_checked_address_under_the_urls_name() -> None:
    """No name server knows hooks.example, and the other server shows that no other address was tried."""
    async with receiving(address="127.0.0.2") as meant, receiving(port=meant.port) as other:
        host = f"hooks.example:{meant.port}"

        answer = await sender_to(host, address="127.0.0.2").send(f"http://{host}/in?a=1", headers=HEADERS, body=BODY)

    assert answer.status == 200
    assert other.connections == 0
    [request] = meant.requests
    assert request.split(b"\r\n") == [
        b"POST /in?a=1 HTTP/1.1",
        b"Host: " + host.encode(),
        b"User-Agent: Followthrough-Webhooks/1",
        b"Accept-Encoding: identity",
        b"Connection: close",
        b"Content-Length: 26",
        b"Content-Type: application/json",
        b"webhook-id: whd_1",
        b"",
        BODY,
    ]


async def test_every_attempt_looks_the_host_up_once_and_checks_it_anew() -> None:
    """A name that is public when checked first and loopback when called (DNS rebinding)."""
    looked_up: list[str] = []
    answers = iter([["93.184.215.14"], ["127.0.0.1"], ["93.184.215.14", "127.0.0.1"]])

    async def resolve(host: str, port: int) -> Sequence[str]:
        looked_up.append(host)
        return next(answers)

    async with receiving() as inner:
        port = inner.port
        urls = WebhookUrlPolicy(https_only=False, ports=(range(port, port + 1),), resolver=resolve)
        assert (await urls.resolve(f"http://hooks.example:{port}/")).address == "93.184.215.14"
        for _ in range(2):
            with pytest.raises(UrlNotAllowed):
                await WebhookSender(urls).send(f"http://hooks.example:{port}/", headers=HEADERS, body=BODY)

    assert inner.connections == 0
    assert looked_up == ["hooks.example"] * 3


async def test_a_redirect_is_an_answer_like_any_other() -> None:
    async with receiving() as inner:
        location = f"http://127.0.0.1:{inner.port}/"
        redirect = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        async with receiving(redirect.encode()) as outer:
            host = f"hooks.example:{outer.port}"
            sender = sender_to(host, f"127.0.0.1:{inner.port}")

            answer = await sender.send(f"http://{host}/", headers=HEADERS, body=BODY)

    assert answer.status == 307
    assert inner.connections == 0


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")

        assert (await send_to(receiver.port)).status == 200

    assert proxy.connections == 0


async def test_attempts_share_neither_connection_nor_cookies() -> None:
    keeping = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
    async with receiving(keeping) as receiver:
        sender = sender_to(f"127.0.0.1:{receiver.port}")
        for _ in range(2):
            await sender.send(f"http://127.0.0.1:{receiver.port}/", headers=HEADERS, body=BODY)

    assert receiver.connections == 2
    assert receiver.requests[0] == receiver.requests[1]


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.found(tmp_path_factory.mktemp("authority"))


async def test_the_certificate_must_be_the_hosts_whatever_address_it_is_at(authority: Authority) -> None:
    server = authority.server_of("hooks.example")
    asked_for: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    async with receiving(address="127.0.0.2", tls=server) as receiver:
        host = f"hooks.example:{receiver.port}"
        sender = sender_to(host, address="127.0.0.2", tls=authority.trusted())

        answer = await sender.send(f"https://{host}/", headers=HEADERS, body=BODY)

    assert answer.status == 200
    assert asked_for == ["hooks.example"]


@pytest.mark.parametrize("held", ["other.example", "127.0.0.1"])
async def test_another_certificate_is_refused_before_anything_is_sent(authority: Authority, held: str) -> None:
    async with receiving(tls=authority.server_of(held)) as receiver:
        host = f"hooks.example:{receiver.port}"

        sending = sender_to(host, tls=authority.trusted()).send(f"https://{host}/", headers=HEADERS, body=BODY)
        unreachable = await refused_by(sending)

    assert "certificate is not valid for 'hooks.example'" in unreachable.reason
    assert receiver.requests == []


async def test_an_address_can_have_a_certificate_of_its_own(authority: Authority) -> None:
    async with receiving(tls=authority.server_of("127.0.0.1")) as receiver:
        host = f"127.0.0.1:{receiver.port}"

        answer = await sender_to(host, tls=authority.trusted()).send(f"https://{host}/", headers=HEADERS, body=BODY)

    assert answer.status == 200


async def test_only_public_authorities_are_trusted_by_default(authority: Authority) -> None:
    async with receiving(tls=authority.server_of("hooks.example")) as receiver:
        host = f"hooks.example:{receiver.port}"

        unreachable = await refused_by(sender_to(host).send(f"https://{host}/", headers=HEADERS, body=BODY))

    assert unreachable.reason == "the certificate is not valid: unable to get local issuer certificate"


async def test_a_server_without_tls_is_unreachable_by_https() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

        unreachable = await refused_by(sender_to(host).send(f"https://{host}/", headers=HEADERS, body=BODY))

    assert unreachable.reason == "TLS failed: WRONG_VERSION_NUMBER"


# What it reads


def answer_of(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers])
    return head.encode() + b"\r\n\r\n" + body


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (answer_of(b""), 200),
        (answer_of("smørbrød".encode(), status="500 Oh"), 500),
        (answer_of(b"gone", status="410 Gone"), 410),
        (answer_of(b"a\0b\xff"), 200),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", 202),
        (CHUNKED + b"3\r\nabc\r\n1;a=b\r\nd\r\n0\r\nTrailer: x\r\n\r\n", 200),
    ],
)
async def test_any_status_is_an_answer(answer: bytes, status: int) -> None:
    async with receiving(answer) as receiver:
        got = await send_to(receiver.port)

    assert got.status == status
    assert got.duration_ms < 5_000


async def test_an_answer_may_end_with_its_connection() -> None:
    async with receiving(b"HTTP/1.0 200 OK\r\n\r\nall of it", then_close=True) as receiver:
        assert (await send_to(receiver.port)).status == 200


@pytest.mark.parametrize(
    "answer",
    [
        itertools.chain([CHUNKED], itertools.repeat(b"1000\r\n" + b"a" * 0x1000 + b"\r\n")),
        [answer_of(b"a" * 70_000)],
        # It says more than is read of it, and stays.
        [b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + b"a" * 65_536],
    ],
    ids=["endless", "whole", "stalling"],
)
async def test_a_body_is_read_up_to_64_kib(answer: Iterable[bytes]) -> None:
    async with receiving(answer) as receiver:
        got = await send_to(receiver.port)
        await asyncio.wait_for(receiver.left.wait(), 5)

    assert got.status == 200


async def test_a_body_of_tiny_chunks_is_cut_too() -> None:
    chunk = b"1" + b";" + b"x" * 100 + b"\r\na\r\n"
    async with receiving(itertools.chain([CHUNKED], itertools.repeat(chunk * 100))) as receiver:
        got = await send_to(receiver.port)

    assert got.status == 200


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        CHUNKED + b"3\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nA: " + b"a" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 50_000 + b"\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n" * 2,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50_000,
        b"HTTP/1.1 099 What\r\n\r\n",
    ],
    ids=lambda answer: bytes(answer[:40]).decode(),
)
async def test_what_is_no_whole_answer_is_none(answer: bytes) -> None:
    async with receiving(answer, then_close=True) as receiver:
        unreachable = await refused_by(send_to(receiver.port))

    # A server that closes on unread data resets the connection.
    assert unreachable.reason in (
        "the connection brought no whole HTTP/1.1 answer",
        "the connection failed: Connection reset by peer",
    )


# How long it takes


@pytest.mark.parametrize(
    "answer",
    [[], [b"HTTP/1.1 200"], [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nslow"], [CHUNKED]],
    ids=["silent", "in its status line", "in its body", "in its chunks"],
)
async def test_a_receiver_that_stalls_is_given_up_on(answer: list[bytes]) -> None:
    async with receiving(answer) as receiver:
        unreachable = await refused_by(send_to(receiver.port, timeout_s=SHORT_S))
        await asyncio.wait_for(receiver.left.wait(), 5)

    assert unreachable.reason == "no whole answer within 0.1 s"
    assert SHORT_S * 1_000 <= unreachable.duration_ms < 5_000


async def test_the_time_is_for_the_whole_attempt_however_lively() -> None:
    """Every piece comes sooner than the time-out; the whole never does."""
    trickle = itertools.chain([CHUNKED], itertools.repeat(b"1\r\na\r\n"))
    async with receiving(trickle, every_s=SHORT_S / 10) as receiver:
        unreachable = await refused_by(send_to(receiver.port, timeout_s=SHORT_S))

    assert unreachable.reason == "no whole answer within 0.1 s"


async def test_a_look_up_or_handshake_that_never_ends_is_given_up_on() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    looking_up = WebhookSender(WebhookUrlPolicy(resolver=never), timeout_s=SHORT_S)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        host = f"127.0.0.1:{mute.getsockname()[1]}"
        for sender, url in (
            (looking_up, "https://hooks.example/"),
            (sender_to(host, timeout_s=SHORT_S), f"https://{host}/"),
        ):
            unreachable = await refused_by(sender.send(url, headers=HEADERS, body=BODY))
            assert unreachable.reason == "no whole answer within 0.1 s"


# What it says of trouble


async def test_trouble_is_told_in_a_line_without_secrets() -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with socket.create_server(("127.0.0.1", 0)) as closing:
        port: int = closing.getsockname()[1]
    refused = await refused_by(send_to(port, "/in?token=s3cret"))
    nameless = WebhookSender(WebhookUrlPolicy(resolver=unknown))
    unresolved = await refused_by(nameless.send("https://hooks.example/s3cret", headers=HEADERS, body=BODY))

    assert refused.reason == str(refused) == "the connection failed: Connection refused"
    assert unresolved.reason == "the host's name cannot be resolved"
    assert refused.__cause__ is None


async def test_a_pause_that_the_receiver_asks_for_is_told() -> None:
    async with receiving(answer_of(b"", "Retry-After: 120", status="429 Slow Down")) as receiver:
        asked = await send_to(receiver.port)
    async with receiving(OK) as receiver:
        not_asked = await send_to(receiver.port)

    assert (asked.status, asked.retry_after_s) == (429, 120.0)
    assert not_asked.retry_after_s is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("007", 7),
        ("86401", 86_400),
        ("9" * 10_000, 86_400),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
    ],
    ids=["none", "padded", "over a day", "endless", "past", "far future"],
)
def test_a_pause_is_read_in_seconds_or_as_a_date(value: str, seconds: float) -> None:
    assert retry_after_s(value.encode()) == seconds


@pytest.mark.parametrize(
    "written",
    [
        lambda at: format_datetime(at, usegmt=True),
        lambda at: at.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
        lambda at: at.strftime("%a %b %e %H:%M:%S %Y"),
        lambda at: format_datetime(at.astimezone(timezone(timedelta(hours=9)))),
    ],
    ids=["IMF-fixdate", "RFC 850", "asctime", "another zone"],
)
def test_a_pause_until_a_date_may_be_written_in_any_form(written: Callable[[datetime], str]) -> None:
    in_an_hour = written(datetime.now(UTC) + timedelta(hours=1))

    assert retry_after_s(in_an_hour.encode()) == pytest.approx(3_600, abs=60)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-5",
        "1.5",
        "soon",
        "inf",
        "\xb2",
        "Fri, 31 Dec 99999 23:59:59 GMT",
        f"Wed, 21 Oct 2015 {'9' * 30}:28:00 GMT",
    ],
)
def test_an_unsound_pause_is_none(value: str) -> None:
    assert retry_after_s(value.encode("latin-1")) is None
