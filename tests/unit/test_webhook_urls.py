"""Which URLs a webhook endpoint may have, rule by rule."""

import asyncio
import socket
import threading
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from providers.webhook_urls import (
    LOOKUPS_OF_ONE_SITE,
    PinnedTarget,
    Resolver,
    UrlNotAllowed,
    WebhookUrl,
    WebhookUrlPolicy,
    look_up,
)

PRODUCTION = WebhookUrlPolicy()
DEVELOPMENT = WebhookUrlPolicy(https_only=False)
PUBLIC = "93.184.215.14"

NOT_PUBLIC = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "this network",
    "10.0.0.1": "private",
    "100.64.0.1": "carrier-grade NAT",
    "100.100.100.200": "carrier-grade NAT, a cloud's metadata",
    "100.127.255.255": "carrier-grade NAT",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "168.63.129.16": "Azure's host; global to Python 3.11.7",
    "169.254.169.254": "link-local, most clouds' metadata",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.1": "IETF protocol assignments",
    "192.0.0.8": "IETF protocol assignments; global to Python 3.11.7",
    "192.0.0.9": "IETF protocol assignments; global to Python 3.11.7",
    "192.0.0.170": "NAT64 discovery",
    "192.0.0.192": "Oracle's metadata; global to Python 3.11.7",
    "192.0.2.1": "documentation",
    "192.88.99.1": "6to4 relay; global to Python 3.11.7",
    "192.168.255.255": "private",
    "198.18.0.1": "benchmarking",
    "198.19.255.255": "benchmarking",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "224.0.0.1": "multicast; global to Python 3.11.7",
    "239.255.255.255": "multicast; global to Python 3.11.7",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "::": "unspecified",
    "::1": "loopback",
    "::127.0.0.1": "IPv4-compatible; global to Python 3.11.7",
    "::8.8.8.8": "IPv4-compatible; global to Python 3.11.7",
    "::ffff:127.0.0.1": "IPv4-mapped",
    "::ffff:8.8.8.8": "IPv4-mapped, of a public address; global to Python 3.11.7",
    "::ffff:0:127.0.0.1": "IPv4-translated; global to Python 3.11.7",
    "64:ff9b::127.0.0.1": "NAT64; global to Python 3.11.7",
    "64:ff9b::8.8.8.8": "NAT64, of a public address; global to Python 3.11.7",
    "64:ff9b:1::10.0.0.1": "local NAT64; global to Python 3.11.7",
    "100::1": "discard",
    "2001::1": "Teredo",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": "Teredo",
    "2001:1::1": "IETF protocol assignments",
    "2001:2::1": "benchmarking",
    "2001:10::1": "ORCHID",
    "2001:20::1": "ORCHIDv2",
    "2001:db8::1": "documentation",
    "2002:7f00:1::1": "6to4; global to Python 3.11.7",
    "2002:808:808::1": "6to4, of a public address; global to Python 3.11.7",
    "3fff::1": "documentation; global to Python 3.11.7",
    "4000::1": "reserved; global to Python 3.11.7",
    "5f00::1": "segment routing; global to Python 3.11.7",
    "fc00::1": "unique local",
    "fd00:ec2::254": "unique local, a cloud's metadata",
    "fe80::1": "link-local",
    "fec0::1": "site-local; global to Python 3.11.7",
    "ff02::1": "multicast; global to Python 3.11.7",
    "ff0e::1": "multicast of global scope; global to Python 3.11.7",
}


def in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def resolving(*addresses: str) -> WebhookUrlPolicy:
    """A policy whose resolver knows these addresses for any host."""
    return WebhookUrlPolicy(resolver=answering(*addresses))


def answering(*addresses: str) -> Resolver:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("https://example.com", WebhookUrl("https", "example.com", 443, "/")),
        ("HTTPS://Hooks.Example.COM/In?a=B&c=%20", WebhookUrl("https", "hooks.example.com", 443, "/In?a=B&c=%20")),
        ("https://example.com?a=1", WebhookUrl("https", "example.com", 443, "/?a=1")),
        ("https://example.com:8443/a@b:c", WebhookUrl("https", "example.com", 8443, "/a@b:c")),
        ("https://example.com:80/", WebhookUrl("https", "example.com", 80, "/")),
        ("https://example.com:00443/", WebhookUrl("https", "example.com", 443, "/")),
        ("https://xn--bcher-kva.example/", WebhookUrl("https", "xn--bcher-kva.example", 443, "/")),
        ("https://a_b.example.com/", WebhookUrl("https", "a_b.example.com", 443, "/")),
        ("https://8.8.8.8/", WebhookUrl("https", "8.8.8.8", 443, "/")),
        ("https://[2606:4700::1111]:9999/", WebhookUrl("https", "[2606:4700::1111]", 9999, "/")),
        ("https://0x7f.example/", WebhookUrl("https", "0x7f.example", 443, "/")),
        (f"https://example.com/{'a' * 1_980}", WebhookUrl("https", "example.com", 443, "/" + "a" * 1_980)),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_public_url_is_allowed_and_read(url: str, read: WebhookUrl) -> None:
    assert PRODUCTION.check(url) == read


@pytest.mark.parametrize(
    ("url", "because"),
    [
        # Not a URL of ours
        ("", "must have the form"),
        ("example.com/hook", "must have the form"),
        ("//example.com/hook", "must have the form"),
        ("https:example.com", "must have the form"),
        ("https:/example.com", "must have the form"),
        ("https://", "must have the form"),
        ("https:///hook", "must have the form"),
        ("https://?a=1", "must have the form"),
        ("https://:443/", "must have the form"),
        ("https://example.com:", "must have the form"),
        ("https://example.com:https/", "must have the form"),
        ("https://example.com:-1/", "must have the form"),
        ("https://example.com:1:2/", "must have the form"),
        ("https://exa%6dple.com/", "must have the form"),
        ("https://example.com,evil.com/", "must have the form"),
        (f"https://example.com/{'a' * 1_981}", "at most 2,000"),
        # Parts it must not have
        ("https://ada:secret@example.com/", "credentials"),
        ("https://ada@example.com/", "credentials"),
        ("https://@example.com/", "credentials"),
        ("https://example.com@127.0.0.1/", "credentials"),
        ("https://example.com:443@127.0.0.1/", "credentials"),
        ("https://example.com/#top", "fragment"),
        ("https://example.com#", "fragment"),
        ("https://example.com#@127.0.0.1/", "fragment"),
        # Schemes
        ("http://example.com/", "start with https://"),
        ("ftp://example.com/", "start with https://"),
        ("file:///etc/passwd", "must have the form"),
        ("gopher://example.com/", "start with https://"),
        ("javascript://example.com/%0aalert(1)", "start with https://"),
        ("httpss://example.com/", "start with https://"),
        # Characters
        (" https://example.com/", "visible ASCII"),
        ("https://example.com/ ", "visible ASCII"),
        ("https://example.com/a b", "visible ASCII"),
        ("https://example.com/\r\nX-Evil: 1", "visible ASCII"),
        ("https://exam\tple.com/", "visible ASCII"),
        ("https://example.com/\x00", "visible ASCII"),
        ("https://example.com/\x7f", "visible ASCII"),
        ("https://example.com\\@127.0.0.1/", "visible ASCII"),
        ("https:\\\\example.com\\", "visible ASCII"),
        ("https://bücher.example/", "xn--"),
        ("https://ⓛocalhost/", "visible ASCII"),
        ("https://127\u30020\u30020\u30021/", "visible ASCII"),  # ideographic full stops
        ("https://\uff11\uff12\uff17.0.0.1/", "visible ASCII"),  # full-width digits
        ("https://example.com/ü", "percent-encode"),
        # Ports
        ("https://example.com:0/", "from 1 to 65535"),
        ("https://example.com:65536/", "from 1 to 65535"),
        ("https://example.com:22/", "allowed are 80, 443, 8000-9999"),
        ("https://example.com:7999/", "allowed are 80, 443, 8000-9999"),
        ("https://example.com:10000/", "allowed are 80, 443, 8000-9999"),
        # Hosts
        ("https://example.com./", "without a dot at its end"),
        ("https://localhost./", "without a dot at its end"),
        ("https://127.0.0.1./", "without a dot at its end"),
        ("https://./", "domain name"),
        ("https://.example.com/", "domain name"),
        ("https://example..com/", "domain name"),
        ("https://-a.example.com/", "domain name"),
        (f"https://{'a' * 64}.com/", "domain name"),
        (f"https://{'a.' * 126}com/", "domain name"),
        ("https://localhost/", "public Internet"),
        ("https://LOCALHOST/", "public Internet"),
        ("https://api/", "public Internet"),
        ("https://a.localhost/", "public Internet"),
        ("https://printer.local/", "public Internet"),
        ("https://metadata.google.internal/", "public Internet"),
        # Addresses as inet_aton reads them
        ("https://2130706433/", "four decimal numbers"),
        ("https://0x7f000001/", "four decimal numbers"),
        ("https://0X7F.1/", "four decimal numbers"),
        ("https://0x7f.0.0.0x1/", "four decimal numbers"),
        ("https://0x/", "four decimal numbers"),
        ("https://017700000001/", "four decimal numbers"),
        ("https://0177.0.0.1/", "four decimal numbers"),
        ("https://127.1/", "four decimal numbers"),
        ("https://127.0.1/", "four decimal numbers"),
        ("https://8.8.8.08/", "four decimal numbers"),
        ("https://8.8.8.256/", "four decimal numbers"),
        ("https://1.1.1.1.1/", "four decimal numbers"),
        ("https://example.1/", "four decimal numbers"),
        ("https://0/", "four decimal numbers"),
        # IPv6
        ("https://::1/", "must have the form"),
        ("https://[::1/", "must have the form"),
        ("https://[::1]a/", "must have the form"),
        ("https://a[::1]/", "must have the form"),
        ("https://[]/", "must have the form"),
        ("https://[fe80::1%25eth0]/", "must have the form"),
        ("https://[2606:4700::1111%eth0]/", "must have the form"),
        ("https://[v1.a]/", "must have the form"),
        ("https://[8.8.8.8]/", "IPv6 in brackets"),
        ("https://[1::2::3]/", "IPv6 in brackets"),
    ],
)
def test_any_other_url_is_refused_with_the_reason(url: str, because: str) -> None:
    with pytest.raises(UrlNotAllowed, match=because):
        PRODUCTION.check(url)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused_as_written(address: str) -> None:
    with pytest.raises(UrlNotAllowed, match="every address of it must be a public one"):
        DEVELOPMENT.check(f"http://{in_url(address)}/")


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_a_name_of_an_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(UrlNotAllowed) as refused:
        await resolving(address).resolve("https://example.com/")

    assert address not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        PUBLIC,
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "223.255.255.255",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "2a00:1450::1",
    ],
)
async def test_a_public_address_is_pinned(address: str) -> None:
    target = await resolving(address).resolve("https://example.com/hook")

    assert target == PinnedTarget("https", "example.com", 443, "/hook", address)
    assert ip_address(PRODUCTION.check(f"https://{in_url(address)}/").server_name) == ip_address(address)


@pytest.mark.parametrize("bad", ["127.0.0.1", "::1", "2606:4700::1111%1", "::ffff:10.0.0.1"])
async def test_one_bad_address_spoils_the_host(bad: str) -> None:
    for addresses in ((PUBLIC, bad), (bad, PUBLIC)):
        with pytest.raises(UrlNotAllowed):
            await resolving(*addresses).resolve("https://example.com/")


async def test_ipv4_is_preferred_then_the_resolvers_order() -> None:
    target = await resolving("2606:4700::1111", PUBLIC, "1.1.1.1").resolve("https://example.com/")

    assert target.address == PUBLIC


async def test_a_host_is_looked_up_once_and_an_address_never() -> None:
    asked: list[tuple[str, int]] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return [PUBLIC]

    policy = WebhookUrlPolicy(resolver=resolve)
    await policy.resolve("https://Example.com:8443/")
    target = await policy.resolve("https://[2606:4700:0::1111]/")

    assert asked == [("example.com", 8443)]
    assert target.address == "2606:4700::1111"


async def test_what_is_wrong_without_a_look_up_is_not_looked_up() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        pytest.fail("looked up")

    with pytest.raises(UrlNotAllowed):
        await WebhookUrlPolicy(resolver=resolve).resolve("https://ada@example.com/")


async def test_a_host_without_addresses_is_an_os_error() -> None:
    with pytest.raises(OSError, match="no address"):
        await resolving().resolve("https://example.com/")


async def test_a_name_that_turns_to_loopback_is_refused_the_second_time() -> None:
    answers = iter([[PUBLIC], ["127.0.0.1"]])

    async def resolve(host: str, port: int) -> Sequence[str]:
        return next(answers)

    policy = WebhookUrlPolicy(resolver=resolve)
    assert (await policy.resolve("https://example.com/")).address == PUBLIC
    with pytest.raises(UrlNotAllowed):
        await policy.resolve("https://example.com/")


async def test_the_systems_resolver_is_the_default() -> None:
    target = await WebhookUrlPolicy(allowed_hosts=frozenset({"localhost:80"})).resolve("http://localhost/")

    assert ip_address(target.address).is_loopback
    assert target.address in await look_up("localhost", 80)


def test_plain_http_is_for_development_with_every_other_rule_in_force() -> None:
    assert DEVELOPMENT.check("http://example.com:8080/").authority == "example.com:8080"
    assert DEVELOPMENT.check("http://example.com/").port == 80
    with pytest.raises(UrlNotAllowed):
        DEVELOPMENT.check("http://127.0.0.1:8080/")
    with pytest.raises(UrlNotAllowed):
        DEVELOPMENT.check("http://example.com:22/")


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("127.0.0.1:12345", "http://127.0.0.1:12345/in"),
        ("localhost:80", "http://LocalHost/"),
        ("LOCALHOST:443", "https://localhost/"),
        ("[::1]:8080", "http://[::1]:8080/"),
        ("sandbox:22", "https://sandbox:22/"),
    ],
)
async def test_an_allowed_host_is_exempt_from_scheme_address_and_port(entry: str, url: str) -> None:
    policy = WebhookUrlPolicy(allowed_hosts=frozenset({entry}), resolver=answering("127.0.0.1"))

    assert policy.check(url)
    assert ip_address((await policy.resolve(url)).address).is_loopback


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:12346/",
        "http://127.0.0.1/",
        "http://127.0.0.2:12345/",
        "http://localhost:12345/",
        "http://127.1:12345/",
        "http://127.0.0.1.:12345/",
        "http://[::ffff:127.0.0.1]:12345/",
        "http://ada@127.0.0.1:12345/",
        "http://127.0.0.1:12345@10.0.0.1/",
        "http://127.0.0.1:12345/#a",
        "ftp://127.0.0.1:12345/",
    ],
)
def test_nothing_else_is_exempt(url: str) -> None:
    with pytest.raises(UrlNotAllowed):
        WebhookUrlPolicy(allowed_hosts=frozenset({"127.0.0.1:12345"})).check(url)


@pytest.mark.parametrize(
    "entry", ["localhost", "*", "*:80", "http://localhost:80", "localhost:", ":80", "a:80,b:80", ""]
)
def test_an_entry_that_could_never_match_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        WebhookUrlPolicy(allowed_hosts=frozenset({entry}))


def test_other_ports_can_be_configured() -> None:
    policy = WebhookUrlPolicy(ports=(range(444, 445), range(5_000, 5_010)))

    assert policy.check("https://example.com:5009/").port == 5009
    with pytest.raises(UrlNotAllowed, match="allowed are 444, 5000-5009"):
        policy.check("https://example.com/")


@pytest.mark.parametrize(
    ("url", "authority", "server_name"),
    [
        ("https://example.com/", "example.com", "example.com"),
        ("https://example.com:80/", "example.com:80", "example.com"),
        ("https://[2606:4700::1111]/", "[2606:4700::1111]", "2606:4700::1111"),
        ("https://[2606:4700::1111]:8443/", "[2606:4700::1111]:8443", "2606:4700::1111"),
    ],
)
def test_a_url_gives_the_names_for_host_and_certificate(url: str, authority: str, server_name: str) -> None:
    found = PRODUCTION.check(url)

    assert (found.authority, found.server_name) == (authority, server_name)


async def test_a_silent_name_server_holds_up_no_other_name(monkeypatch: pytest.MonkeyPatch) -> None:
    answering, asked = threading.Event(), list[str]()

    def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        if host.endswith(".silent.example"):
            answering.wait(10)
        return [(0, 0, 0, "", ("192.0.2.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    silent = [asyncio.create_task(look_up(f"{number}.silent.example", 443)) for number in range(200)]
    try:
        async with asyncio.timeout(5):
            assert await look_up("hooks.example.org", 443) == ["192.0.2.1"]
        # Given up on, it has its thread all the same.
        silent[0].cancel()
        await asyncio.wait({silent[0]})
        async with asyncio.timeout(5):
            await look_up("hooks.example.org", 443)
        assert len([host for host in asked if host.endswith(".silent.example")]) == LOOKUPS_OF_ONE_SITE
    finally:
        answering.set()

    assert len(await asyncio.gather(*silent[1:])) == 199
