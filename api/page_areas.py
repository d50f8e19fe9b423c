"""The two parts of the site: the shop, where customers order, and the console, where operators look and repair."""

from dataclasses import dataclass
from typing import Any, Protocol

from starlette.responses import Response

from api import console_page, shop_page
from api.auth import Scope
from api.sessions import CONSOLE, PAGES, Session, is_within


class Page(Protocol):
    def __call__(self, template: str, session: Session | None, *, status: int = 200, **facts: Any) -> Response: ...


@dataclass(frozen=True)
class Area:
    """Where a part begins, how its pages are written, and the scope without which nobody signs in there."""

    home: str
    page: Page
    wants: Scope | None = None

    @property
    def sign_in(self) -> str:
        return f"{self.home}/sign-in"

    def has(self, path: str) -> bool:
        return is_within(self.home, path)


SHOP = Area(PAGES, shop_page.page)
OPERATORS = Area(CONSOLE, console_page.page, wants=Scope.OPERATOR)


def area_of(path: str) -> Area | None:
    """The part that this path is in; None for what is no page."""
    return next((area for area in (SHOP, OPERATORS) if area.has(path)), None)
