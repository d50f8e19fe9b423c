"""How templates of pages are read, and how they write money, times and codes."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from api.sessions import Session
from api.static_files import address_of
from contracts.money import Money


class Pages:
    """The pages of one part of the site: its folder of our templates, with filters and values of its own."""

    def __init__(self, area: str, *, filters: Mapping[str, Callable[..., Any]], values: Mapping[str, Any]) -> None:
        self._area = area
        self._templates = _environment()
        self._templates.filters |= filters
        self._templates.globals |= values

    def page(self, template: str, session: Session | None, *, status: int = 200, **facts: Any) -> Response:
        """A page for who has this session. Whatever `facts` say is escaped."""
        return HTMLResponse(self.rendered(template, session, **facts), status)

    def rendered(self, template: str, session: Session | None, **facts: Any) -> str:
        """The text of a page, or of a part of one."""
        return self._templates.get_template(f"{self._area}/{template}").render(facts, session=session)


def _environment() -> Environment:
    """Whatever templates are given is escaped, and what they miss is an error."""
    made = Environment(
        loader=PackageLoader("api", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"money": _money, "moment": _moment, "words": _words}
    made.globals["address_of"] = address_of
    return made


def _money(money: Money) -> str:
    return str(money).upper()


def _moment(at: datetime) -> str:
    return f"{at:%-d %B %Y, %H:%M:%S} UTC"


def _words(code: str) -> str:
    return code.replace("_", " ").capitalize()
