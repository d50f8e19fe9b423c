"""Which URLs a webhook may be sent to, so that nobody makes us call our own network for them (SSRF, CWE-918).

A URL is read once, strictly, and what was read is what the sender uses: no second parser can see another host in it.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from weakref import WeakValueDictionary

Address = IPv4Address | IPv6Address
# Host and port to every address of the host, as text; raises OSError when there is none.
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

MAX_URL_LENGTH = 2_000
MAX_NAME_LENGTH = 253  # RFC 1035, section 2.3.4, without the root's dot
DEFAULT_PORTS = {"http": 80, "https": 443}
ALLOWED_PORTS = (range(80, 81), range(443, 444), range(8_000, 10_000))

# RFC 3986, section 3. The zone of an IPv6 address (RFC 6874) and percent-encoded hosts are left out on purpose.
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<credentials>[^/?#]*@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>[/?][^#]*)?(?P<fragment>#.*)?"
)
_NOT_IN_A_URL = re.compile(r'[^\x21-\x7e]|["<>\\^`{|}]')  # RFC 3986, section 2
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# A host whose last label is a number is an address to inet_aton, and so to getaddrinfo: 2130706433, 0x7f.1, 127.1
# (the WHATWG URL standard's "ends in a number").
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ALLOWED_HOST = re.compile(r"(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+):[0-9]{1,5}")

# Names that mean this machine or this network: RFC 6761, RFC 6762, and ICANN's reservation of .internal.
_INNER_NAMES = (".localhost", ".local", ".internal")

# All that IANA gives out as global unicast (RFC 4291, section 2.4). Outside of it lie the loopback, IPv4-mapped and
# IPv4-compatible forms, NAT64 (RFC 6052, RFC 8215), unique local, link-local, site-local and multicast addresses.
_GLOBAL_UNICAST = ip_network("2000::/3")
# What ipaddress takes for public, in this Python or another: 3.11.10 and 3.12.4 changed their minds about some.
_NOT_PUBLIC = tuple(
    ip_network(network)
    for network in (
        "192.0.0.0/24",  # IETF protocol assignments (RFC 6890); Oracle's cloud keeps its metadata at .192
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "168.63.129.16/32",  # Azure's host, behind a public address
        "2001::/23",  # IETF protocol assignments (RFC 2928): Teredo, benchmarking, ORCHID
        "2002::/16",  # 6to4, which carries an IPv4 address (RFC 3056)
        "3fff::/20",  # documentation (RFC 9637)
    )
)

# Lookups have threads of their own: names that never resolve hold up no other work of the process.
_LOOKUPS = ThreadPoolExecutor(max_workers=64, thread_name_prefix="webhook-lookup")
# A name server that is silent keeps its look-ups' threads, and no more of them than this for all names of its zone.
LOOKUPS_OF_ONE_SITE = 8
# By the last two labels of the name; those that nobody uses are forgotten.
_TURNS = WeakValueDictionary[str, asyncio.Semaphore]()


class UrlNotAllowed(ValueError):
    """A webhook must not be sent to this URL; the message says why and what is allowed, for the endpoint's owner.

    It names no address that a host resolved to: that could tell about our own network.
    """


@dataclass(frozen=True)
class WebhookUrl:
    """A URL's parts. `host` is in lower case, an IPv6 address in brackets; `path` has the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of a Host header (RFC 9110, section 7.2)."""
        return self.host if self.port == DEFAULT_PORTS[self.scheme] else f"{self.host}:{self.port}"

    @property
    def server_name(self) -> str:
        """The name or address that the server's certificate must be for."""
        return self.host.strip("[]")


@dataclass(frozen=True)
class PinnedTarget(WebhookUrl):
    """A URL with the one checked address to connect to."""

    address: str


async def look_up(host: str, port: int) -> Sequence[str]:
    """The host's addresses by the system's resolver, best first (RFC 6724). Raises OSError when there is none."""
    loop = asyncio.get_running_loop()
    turns = _TURNS.setdefault(".".join(host.split(".")[-2:]), asyncio.Semaphore(LOOKUPS_OF_ONE_SITE))
    await turns.acquire()
    looking = _LOOKUPS.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)

    def over(_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(turns.release)

    # Whether or not somebody still waits for it: until then it has its thread.
    looking.add_done_callback(over)
    found = await asyncio.wrap_future(looking)
    return [str(address[0]) for *_, address in found]


@dataclass(frozen=True)
class WebhookUrlPolicy:
    """What a deployment allows.

    `allowed_hosts` holds "host:port" entries; a URL of exactly that host, as written there, and port is exempt from
    the rules of scheme, address and port. Raises ValueError for an entry of another form.
    """

    https_only: bool = True
    allowed_hosts: frozenset[str] = frozenset()
    ports: tuple[range, ...] = ALLOWED_PORTS
    resolver: Resolver = look_up

    def __post_init__(self) -> None:
        for entry in self.allowed_hosts:
            if not _ALLOWED_HOST.fullmatch(entry.lower()):
                raise ValueError(f"an allowed host is written host:port, not {entry!r}")

    def check(self, url: str) -> WebhookUrl:
        """Apply the rules that need no look-up. Raises UrlNotAllowed."""
        found = _read(url)
        address = _written_address(found.host)
        if self._is_exempt(found):
            return found
        if self.https_only and found.scheme != "https":
            raise UrlNotAllowed("the URL must start with https://")
        if not any(found.port in ports for ports in self.ports):
            raise UrlNotAllowed(f"port {found.port} is not allowed; allowed are {_listed(self.ports)}")
        if address:
            _require_public(address)
        elif "." not in found.host or found.host.endswith(_INNER_NAMES):
            raise UrlNotAllowed("the host must be a full domain name of the public Internet")
        return found

    async def resolve(self, url: str) -> PinnedTarget:
        """Check the URL and every address of its host, looked up once, and choose one.

        It is the first IPv4 address if there is any: more workers lack IPv6 than receivers lack IPv4.
        Raises UrlNotAllowed, and OSError when the host has no address.
        """
        found = self.check(url)
        written = _written_address(found.host)
        addresses = [written] if written else [*map(ip_address, await self.resolver(found.host, found.port))]
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "the host has no address")
        if not self._is_exempt(found):
            for address in addresses:
                _require_public(address)
        return PinnedTarget(found.scheme, found.host, found.port, found.path, str(min(addresses, key=_version)))

    def _is_exempt(self, url: WebhookUrl) -> bool:
        return f"{url.host}:{url.port}" in {entry.lower() for entry in self.allowed_hosts}


def _read(url: str) -> WebhookUrl:
    """A URL's parts. Raises UrlNotAllowed for what is none, or has parts that a webhook's must not have."""
    if len(url) > MAX_URL_LENGTH:
        raise UrlNotAllowed(f"the URL must have at most {MAX_URL_LENGTH:,} characters")
    if _NOT_IN_A_URL.search(url):
        raise UrlNotAllowed(
            "the URL must be visible ASCII without \"<>\\^`{|}: percent-encode the path, write the host's xn-- form"
        )
    found = _URL.fullmatch(url)
    if not found:
        raise UrlNotAllowed("the URL must have the form https://host/path or https://host:port/path")
    if found["credentials"]:
        raise UrlNotAllowed("the URL must not carry credentials; what we send is signed")
    if found["fragment"]:
        raise UrlNotAllowed("the URL must not have a fragment (#...)")
    scheme = found["scheme"].lower()
    if scheme not in DEFAULT_PORTS:
        raise UrlNotAllowed("the URL must start with https://")
    port = int(found["port"] or DEFAULT_PORTS[scheme])
    if not 0 < port < 2**16:
        raise UrlNotAllowed("the port must be from 1 to 65535")
    path = found["path"] or "/"
    return WebhookUrl(scheme, found["host"].lower(), port, path if path.startswith("/") else f"/{path}")


def _written_address(host: str) -> Address | None:
    """The address that the host is written as; None for a name. Raises UrlNotAllowed for any other form."""
    try:
        if host.startswith("["):
            return IPv6Address(host[1:-1])
        if _NUMBER.fullmatch(host.rpartition(".")[2]):
            return IPv4Address(host)
    except ValueError:
        raise UrlNotAllowed("an address must be written as four decimal numbers, or as IPv6 in brackets") from None
    if len(host) > MAX_NAME_LENGTH or not _NAME.fullmatch(host):
        raise UrlNotAllowed("the host must be a domain name, without a dot at its end")
    return None


def _require_public(address: Address) -> None:
    if not _is_public(address):
        raise UrlNotAllowed("the host must be on the public Internet: every address of it must be a public one")


def _is_public(address: Address) -> bool:
    """Whether an address is one of the public Internet's, in no form that stands for another."""
    if isinstance(address, IPv6Address) and (address.scope_id or address not in _GLOBAL_UNICAST):
        return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _NOT_PUBLIC)


def _version(address: Address) -> int:
    return address.version


def _listed(ports: Sequence[range]) -> str:
    return ", ".join(str(some[0]) if len(some) == 1 else f"{some[0]}-{some[-1]}" for some in ports)
