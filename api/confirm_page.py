"""/confirm: where the link in a mail leads to.

It shows a button, since mail scanners follow links, and would confirm for people.
"""

from html import escape
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse, Response

from api.dependencies import Accounts
from api.errors import ConfirmationInvalid
from api.routing import GuardedRoute, open_to_all

router = APIRouter(prefix="/confirm", route_class=GuardedRoute, include_in_schema=False)

Token = Annotated[str, Query(max_length=2_000)]

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body><main><h1>{title}</h1>
{content}
</main></body>
</html>
"""


@router.get("")
@open_to_all()
async def ask(token: Token) -> Response:
    """The page with the button."""
    action = f"/confirm?token={escape(token, quote=True)}"
    return _page(
        "Confirm your address", f'<form method="post" action="{action}"><button>Confirm my address</button></form>'
    )


@router.post("")
@open_to_all()
async def confirm(token: Token, accounts: Accounts) -> Response:
    """What the button does."""
    try:
        await accounts.confirm(token)
    except ConfirmationInvalid as problem:
        return _page(problem.title, f"<p>{escape(problem.detail)}</p>", status=problem.status)
    return _page("Thank you", "<p>Your address is confirmed.</p>")


def _page(title: str, content: str, *, status: int = 200) -> Response:
    return HTMLResponse(PAGE.format(title=escape(title), content=content), status)
