"""How a problem is shown: as RFC 9457 JSON to programs, and as a page to people who look at pages."""

from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from api.errors import Problem, Unauthenticated
from api.page_areas import area_of

EVENT_STREAM = "text/event-stream"


def answer_to(problem: Problem, scope: Scope) -> Response:
    """The answer to a request that met this problem."""
    request_id = scope["state"]["request_id"]
    raw_path = scope.get("raw_path", b"").decode("ascii", "replace")
    headers = Headers(scope=scope)
    area = area_of(scope["path"])
    if area is None or EVENT_STREAM in headers.get("Accept", ""):
        return problem.response(request_id, raw_path)
    by_htmx = "HX-Request" in headers
    if isinstance(problem, Unauthenticated):
        where = area.sign_in
        if scope.get("method") == "GET":
            where += f"?next={quote(raw_path, safe='/')}"
        # htmx would follow a redirect itself, and put what it finds into the page that it has.
        return Response(status_code=204, headers={"HX-Redirect": where}) if by_htmx else RedirectResponse(where, 303)
    answer = area.page(
        "problem.html", scope["state"].get("session"), status=problem.status, problem=problem, request_id=request_id
    )
    answer.headers.update(problem.headers)
    if by_htmx:
        # Beside what the page shows, and not in its place.
        answer.headers.update({"HX-Retarget": "#notice", "HX-Reselect": "#problem", "HX-Reswap": "innerHTML"})
    return answer
