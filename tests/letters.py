"""Dead letters and the audit log as operators read them over HTTP."""

from typing import Any

import httpx

from tests.acceptance.client import Caller
from tests.jobs import accepted, until

Json = dict[str, Any]
PATH = "/v1/admin/dead-letters"
# More often than an echo is tried.
FOR_GOOD = 9


async def poison(owner: Caller, *, fail_times: int = FOR_GOOD, **body: Any) -> Json:
    """A job whose attempts all failed."""
    job = await accepted(owner, arguments={"message": "hello", "fail_times": fail_times}, **body)
    return await until(owner, job, "failed")


async def dead(operator: Caller, **filters: Any) -> Json:
    answer = await operator.get(PATH, **filters)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def letter(operator: Caller, id: str, **filters: Any) -> Json:  # noqa: A002
    """The dead letter with this id."""
    [found] = [item for item in (await dead(operator, limit=100, **filters))["items"] if item["id"] == id]
    letter: Json = found
    return letter


async def retry(operator: Caller, id: str, **body: Any) -> httpx.Response:  # noqa: A002
    return await operator.post(f"{PATH}/{id}/retry", json=body)


async def discard(operator: Caller, id: str, reason: str = "of no use") -> httpx.Response:  # noqa: A002
    return await operator.post(f"{PATH}/{id}/discard", json={"reason": reason})


async def audited(operator: Caller, **filters: Any) -> list[Json]:
    answer = await operator.get("/v1/admin/audit", **filters)
    assert answer.status_code == 200, answer.text
    items: list[Json] = answer.json()["items"]
    return items
