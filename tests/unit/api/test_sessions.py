"""Session cookies: what they hold, how long, and who is believed."""

import time

import jwt
import pytest
from starlette.datastructures import Headers
from starlette.responses import Response

from api.auth import Principal
from api.errors import Forbidden
from api.sessions import MAX_AGE_S, Session, Sessions, check_origin

SECRET = "a" * 32
HOST = "127.0.0.1:8000"


def signed_in(*, expires_in_s: int = 12 * 3_600, scopes: str = "orders:write") -> Session:
    return Session.signed_in(Principal("ada", frozenset(scopes.split()), expires_at=time.time() + expires_in_s))


def cookie_of(session: Session, *, secret: str = SECRET, host: str = HOST) -> str:
    """The cookie's name and value, as a browser sends them back."""
    response = Response()
    Sessions(secret).keep(session, Headers({"Host": host}), response)
    return response.headers["set-cookie"].partition(";")[0]


def read(cookie: str, *, host: str = HOST) -> Session | None:
    return Sessions(SECRET).read(Headers({"Host": host, "Cookie": cookie}))


def test_a_session_is_read_as_it_was_kept() -> None:
    session = signed_in(scopes="orders:write operator")

    assert read(cookie_of(session)) == session
    assert read(cookie_of(Session.of_visitor())) != session


def test_a_cookie_holds_no_more_than_it_must() -> None:
    _, _, value = cookie_of(signed_in()).partition("=")

    assert jwt.decode(value, SECRET, algorithms=["HS256"]).keys() == {"sub", "scope", "exp", "csrf"}


def test_a_session_lasts_an_hour_and_never_longer_than_its_token() -> None:
    assert MAX_AGE_S - 2 <= signed_in().lasts_s <= MAX_AGE_S
    assert 58 <= signed_in(expires_in_s=60).lasts_s <= 60
    assert MAX_AGE_S - 2 <= Session.of_visitor().lasts_s <= MAX_AGE_S


def test_scopes_that_are_not_ours_do_not_swell_the_cookie() -> None:
    session = signed_in(scopes=" ".join(["orders:read", *(f"else:{number}" for number in range(2_000))]))

    assert session.principal is not None
    assert session.principal.scopes == {"orders:read"}


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "session=",
        "session=a.b.c",
        "session=\xe6",
        f"session={jwt.encode({'exp': 4_000_000_000, 'csrf': 'c', 'sub': 'ada', 'scope': ''}, 'b' * 32)}",
        f"session={jwt.encode({'exp': 1_700_000_000, 'csrf': 'c', 'sub': 'ada', 'scope': ''}, SECRET)}",
        f"session={jwt.encode({'csrf': 'c', 'sub': 'ada', 'scope': ''}, SECRET)}",
        f"session={jwt.encode({'exp': 4_000_000_000, 'csrf': 'c', 'sub': 'ada', 'scope': ''}, '', algorithm='none')}",
    ],
    ids=["none", "empty", "garbage", "not ASCII", "another secret", "expired", "without an end", "unsigned"],
)
def test_a_cookie_that_we_did_not_sign_or_that_has_ended_is_none(cookie: str) -> None:
    assert read(cookie) is None


def test_a_cookie_of_loopback_is_none_where_tls_is_wanted() -> None:
    assert read(cookie_of(signed_in()), host="shop.example.com") is None
    assert read(cookie_of(signed_in(), host="shop.example.com"), host="shop.example.com") is not None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8000"])
def test_loopback_does_without_tls(host: str) -> None:
    assert cookie_of(signed_in(), host=host).startswith("session=")


@pytest.mark.parametrize("host", ["", "[", "shop.example.com", "localhost.example.com", "192.168.0.1", "a b"])
def test_everything_else_does_not(host: str) -> None:
    assert cookie_of(signed_in(), host=host).startswith("__Host-session=")


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto"])
def test_a_proxy_beside_us_is_not_taken_for_the_browser(header: str) -> None:
    response = Response()
    Sessions(SECRET).keep(signed_in(), Headers({"Host": HOST, header: "x"}), response)

    assert response.headers["set-cookie"].startswith("__Host-session=")


@pytest.mark.parametrize("csrf", [None, "", "x", "æ"])
def test_a_form_without_the_sessions_own_secret_is_refused(csrf: str | None) -> None:
    session = signed_in()
    session.check_form(session.csrf)

    with pytest.raises(Forbidden):
        session.check_form(csrf)
    with pytest.raises(Forbidden):
        session.check_form(signed_in().csrf)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": f"http://{HOST}"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {},
    ],
)
def test_what_no_page_of_ours_sent_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Forbidden):
        check_origin(Headers({"Host": HOST, **headers}))


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": f"http://{HOST}"}]
)
def test_what_our_own_pages_send_is_taken(headers: dict[str, str]) -> None:
    check_origin(Headers({"Host": HOST, **headers}))
