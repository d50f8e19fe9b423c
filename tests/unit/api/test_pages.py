"""What holds for every page, while all that is behind it is away."""

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api.auth import Scope
from api.page_routing import PageRoute
from api.sessions import CONSOLE, PAGES, SECURE_COOKIE
from api.static_files import FILES, FOLDER, address_of
from tests.unit.api.conftest import Sign

README = Path(__file__).parents[3] / "api" / "static" / "README.md"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
WITHOUT_SESSION = {f"{area}/{page}" for area in (PAGES, CONSOLE) for page in ("sign-in", "sign-out")}
READ_BY_POST = {"/shop/total"}


def pages(app: FastAPI) -> Iterator[PageRoute]:
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        path = getattr(route, "path", "")
        if path.startswith((PAGES, CONSOLE)) and not path.startswith(FOLDER):
            assert isinstance(route, PageRoute), f"{path} takes forms from anywhere"
            yield route


def csrf_of(html: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', html)
    assert found is not None
    return found[1]


@pytest.fixture
async def https(app: FastAPI) -> httpx.AsyncClient:
    """A browser that looks at the shop where it is open to the world."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, client=("192.0.2.7", 1)), base_url="https://shop.example.com"
    )


def test_every_page_wants_a_session_and_every_change_the_scope_for_it(app: FastAPI) -> None:
    found = list(pages(app))

    assert len(found) >= 30
    for route in found:
        assert route.access.session == (route.path not in WITHOUT_SESSION), route.path
        if route.access.session:
            changes = route.methods == {"POST"} and route.path not in READ_BY_POST
            wanted = Scope.ORDERS_WRITE if changes else Scope.ORDERS_READ
            assert route.access.any_of == (Scope.OPERATOR if route.path.startswith(CONSOLE) else wanted,), route.path


def test_no_page_is_part_of_the_api_description(app: FastAPI) -> None:
    assert not [path for path in app.openapi()["paths"] if path.startswith((PAGES, CONSOLE))]


@pytest.mark.parametrize("path", ["", "/orders", "/orders/ord_00000000000000000000000000"])
@pytest.mark.parametrize("area", [PAGES, CONSOLE])
async def test_who_has_not_signed_in_is_asked_to_and_comes_back(http: httpx.AsyncClient, area: str, path: str) -> None:
    answer = await http.get(f"{area}{path}")

    assert answer.status_code == 303
    assert answer.headers["location"] == f"{area}/sign-in?next={area}{path}"


async def test_a_customer_is_refused_by_the_console_at_its_door_and_behind_it(
    https: httpx.AsyncClient, sign: Sign
) -> None:
    form = await https.get("/console/sign-in")
    refused = await https.post(
        "/console/sign-in",
        data={"csrf": csrf_of(form.text), "token": sign("orders:write jobs:write")},
        headers=OWN_PAGE,
    )
    form = await https.get("/shop/sign-in")
    await https.post("/shop/sign-in", data={"csrf": csrf_of(form.text), "token": sign()}, headers=OWN_PAGE)
    behind = [await https.get("/console"), await https.get("/console/jobs"), await https.get("/console/audit")]

    assert refused.status_code == 422
    assert "it has not the scope operator" in refused.text
    assert "set-cookie" not in refused.headers
    assert [answer.status_code for answer in behind] == [403] * 3
    assert "Needs attention" not in behind[0].text


async def test_an_operator_who_signs_in_goes_where_they_wanted_within_the_console(
    https: httpx.AsyncClient, sign: Sign
) -> None:
    form = await https.get("/console/sign-in")
    sent = {"csrf": csrf_of(form.text), "token": sign("operator")}

    for wanted, where in (("/console/audit?actor=olga", "/console/audit?actor=olga"), ("/shop", "/console")):
        answer = await https.post("/console/sign-in", data={**sent, "next": wanted}, headers=OWN_PAGE)
        assert (answer.status_code, answer.headers["location"]) == (303, where)
        sent["csrf"] = csrf_of((await https.get("/console/sign-in")).text)


async def test_htmx_is_told_to_leave_the_page_and_a_stream_is_refused(http: httpx.AsyncClient) -> None:
    path = "/shop/orders/ord_00000000000000000000000000"
    by_htmx = await http.get(path, headers={"HX-Request": "true"})
    stream = await http.get(f"{path}/events?after=1", headers={"Accept": "text/event-stream"})

    assert (by_htmx.status_code, by_htmx.headers["hx-redirect"]) == (204, f"/shop/sign-in?next={path}")
    assert (stream.status_code, stream.json()["code"]) == (401, "unauthenticated")


async def test_in_the_open_the_cookie_is_for_tls_and_this_host_alone(https: httpx.AsyncClient, sign: Sign) -> None:
    form = await https.get("/shop/sign-in")
    answer = await https.post(
        "/shop/sign-in", data={"csrf": csrf_of(form.text), "token": sign(), "next": "/shop"}, headers=OWN_PAGE
    )

    assert answer.status_code == 303
    for set_cookie in (form.headers["set-cookie"], answer.headers["set-cookie"]):
        name, *attributes = set_cookie.split("; ")
        assert name.startswith(f"{SECURE_COOKIE}=")
        assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/"} <= set(attributes)
        assert not [attribute for attribute in attributes if attribute.startswith("Domain")]


@pytest.mark.parametrize("where", ["https://evil.example", "//evil.example", "/v1/orders", "/shopping", "shop", ""])
async def test_after_sign_in_one_stays_in_the_shop(https: httpx.AsyncClient, sign: Sign, where: str) -> None:
    form = await https.get("/shop/sign-in", params={"next": where})
    answer = await https.post(
        "/shop/sign-in", data={"csrf": csrf_of(form.text), "token": sign(), "next": where}, headers=OWN_PAGE
    )

    assert answer.headers["location"] == "/shop"
    assert 'name="next" value="/shop"' in form.text


async def test_an_outage_is_a_page_too(https: httpx.AsyncClient, sign: Sign) -> None:
    form = await https.get("/shop/sign-in")
    await https.post("/shop/sign-in", data={"csrf": csrf_of(form.text), "token": sign()}, headers=OWN_PAGE)

    answer = await https.get("/shop")

    assert answer.status_code == 503
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["retry-after"]
    assert answer.headers["x-request-id"] in answer.text


@pytest.mark.parametrize("path", ["/shop/sign-in", "/shop/nothing", "/shop/static/0/shop.css", "/console/sign-in"])
async def test_nothing_of_a_page_can_come_from_elsewhere_or_run_inline(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)

    policy = dict(entry.split(" ", 1) for entry in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert {policy[kind] for kind in ("script-src", "style-src", "connect-src", "form-action")} == {"'self'"}
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)|hx-on", answer.text)
    assert answer.headers["cache-control"] == "no-store"
    # Without it, browsers would send no Origin with a form.
    assert answer.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("name", FILES)
async def test_files_are_kept_by_browsers_under_an_address_of_their_own(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.get(address_of(name))

    assert answer.content == FILES[name].content
    assert answer.headers["content-type"].startswith(FILES[name].media_type)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    other_version = await http.get(f"{FOLDER}/{'0' * 16}/{name}")
    assert (other_version.status_code, other_version.headers["cache-control"]) == (404, "no-store")


def test_scripts_that_are_not_ours_are_as_they_were_published() -> None:
    written = dict(re.findall(r"^\| `([\w.-]+\.js)` .* `([A-Za-z0-9+/=]{64})` \|$", README.read_text(), re.MULTILINE))
    kept = {
        name: base64.b64encode(hashlib.sha384(file.content).digest()).decode()
        for name, file in FILES.items()
        if name.endswith(".js")
    }

    assert written == kept
