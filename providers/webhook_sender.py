"""One attempt to deliver a webhook, to the very address that was checked.

It speaks HTTP/1.1 through h11 over one connection of its own: of an HTTP client's redirects, proxies, cookies, pools,
decoders and second look at the URL there is then nothing to switch off, or to be switched on by its next version.
"""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import h11
import httpx

from providers.webhook_urls import PinnedTarget, WebhookUrlPolicy

ATTEMPT_TIMEOUT_S = 20.0
MAX_BODY_BYTES = 64 * 1024
# All that is read of an answer, so that endless interim answers or chunks of one byte keep nobody busy.
MAX_ANSWER_BYTES = 512 * 1024
READ_BYTES = 16 * 1024
MAX_RETRY_AFTER_S = 24 * 60 * 60.0  # the longest pause of our own schedule


@dataclass(frozen=True)
class WebhookAnswer:
    """What a receiver said, but for its body, of which nobody has any use.

    `duration_ms` is the whole attempt's; `retry_after_s` is from 0 to a day, None where none was asked for.
    """

    status: int
    duration_ms: int
    retry_after_s: float | None


class WebhookUnreachable(Exception):
    """An attempt brought no whole answer; the receiver may have taken the webhook all the same.

    `reason` is one short line for the endpoint's owner, without the URL's path, headers or body.
    """

    def __init__(self, reason: str, *, duration_ms: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.duration_ms = duration_ms


class WebhookSender:
    """Sends webhooks, each over a connection of its own."""

    def __init__(
        self, urls: WebhookUrlPolicy, *, timeout_s: float = ATTEMPT_TIMEOUT_S, tls: ssl.SSLContext | None = None
    ) -> None:
        """`timeout_s` is for a whole attempt, look-up and body included; `tls` defaults to the public authorities."""
        self._urls = urls
        self._timeout_s = timeout_s
        self._tls = tls or httpx.create_ssl_context(trust_env=False)

    async def send(self, url: str, *, headers: Mapping[str, str], body: bytes) -> WebhookAnswer:
        """POST the body once, after checking the URL and looking its host up anew; any status is an answer.

        `headers` are the content's type and signature; those that HTTP itself needs are added.
        Raises UrlNotAllowed before anything is sent, WebhookUnreachable.
        """
        begun = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                target = await self._urls.resolve(url)
                response = await self._exchange(target, headers, body)
        except (OSError, h11.RemoteProtocolError) as error:
            # Not chained: the cause may repeat at length what the receiver sent, and ends in logs and histories.
            raise WebhookUnreachable(self._reason(error), duration_ms=_ms_since(begun)) from None
        asked = dict(response.headers).get(b"retry-after", b"")
        return WebhookAnswer(response.status_code, _ms_since(begun), retry_after_s(asked))

    async def _exchange(self, target: PinnedTarget, headers: Mapping[str, str], body: bytes) -> h11.Response:
        secure = target.scheme == "https"
        reader, writer = await asyncio.open_connection(
            target.address,
            target.port,
            ssl=self._tls if secure else None,
            # What is sent as SNI, and what the certificate must be for (RFC 9110, section 4.3.4).
            server_hostname=target.server_name if secure else None,
        )
        try:
            http = h11.Connection(h11.CLIENT)
            request = h11.Request(method="POST", target=target.path, headers=_all_headers(target, headers, body))
            for event in (request, h11.Data(body), h11.EndOfMessage()):
                writer.write(http.send(event) or b"")
            return await _read_answer(http, reader)
        finally:
            writer.transport.abort()

    def _reason(self, error: OSError | h11.RemoteProtocolError) -> str:
        match error:
            case TimeoutError():
                return f"no whole answer within {self._timeout_s:g} s"
            case socket.gaierror():
                return "the host's name cannot be resolved"
            case ssl.SSLCertVerificationError():
                return f"the certificate is not valid: {error.verify_message}"
            case ssl.SSLError():
                return f"TLS failed: {error.reason}"
            case OSError():
                return f"the connection failed: {os.strerror(error.errno) if error.errno else type(error).__name__}"
            case _:
                return "the connection brought no whole HTTP/1.1 answer"


def retry_after_s(value: bytes) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, section 10.2.3), from 0 to a day; None if unsound."""
    if value.isdigit():
        return min(float(value), MAX_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(value.decode("ascii"))
    except (ValueError, OverflowError):
        return None
    # Of the three forms of an HTTP date, asctime's names no zone: all are UTC.
    wait_s = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)


def _all_headers(target: PinnedTarget, headers: Mapping[str, str], body: bytes) -> list[tuple[str, str]]:
    return [
        ("Host", target.authority),
        ("User-Agent", "Followthrough-Webhooks/1"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
        ("Content-Length", str(len(body))),
        *headers.items(),
    ]


async def _read_answer(http: h11.Connection, reader: asyncio.StreamReader) -> h11.Response:
    """The final answer, once its body has ended or enough of it has come; h11 bounds its headers.

    Raises RemoteProtocolError, OSError.
    """
    response: h11.Response | None = None
    received = of_body = 0
    while received < MAX_ANSWER_BYTES and of_body < MAX_BODY_BYTES:
        match http.next_event():
            case h11.NEED_DATA:
                data = await reader.read(READ_BYTES)
                received += len(data)
                http.receive_data(data)
            case h11.InformationalResponse():
                pass
            case h11.Response() as response:
                pass
            case h11.Data(data=data):
                of_body += len(data)
            case _:
                break
    if not response:
        raise h11.RemoteProtocolError("there was no final answer")
    return response


def _ms_since(begun: float) -> int:
    return round((time.monotonic() - begun) * 1_000)
