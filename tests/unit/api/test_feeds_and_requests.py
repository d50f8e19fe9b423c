"""What is looked at for all who watch belongs to no request, though the first of them has it begun."""

import asyncio
from typing import Any

from structlog.contextvars import bound_contextvars, get_contextvars

from api.attention_feed import AttentionFeed, NeedsAttention
from api.job_feed import JobFeed
from api.job_resource import JobState
from api.outages import Unreachable


class Look:
    """Finds nothing, and keeps what a line of the log would have named meanwhile."""

    def __init__(self) -> None:
        self.named: list[dict[str, Any]] = []

    def at(self) -> None:
        self.named.append(get_contextvars())

    async def at_attention(self) -> NeedsAttention:
        self.at()
        raise Unreachable("Postgres")

    async def at_job(self, _: str) -> JobState | None:
        self.at()
        return None


async def test_a_look_is_in_no_request() -> None:
    look = Look()
    with bound_contextvars(process="api"):
        attention, jobs = AttentionFeed(look.at_attention), JobFeed(look.at_job)

    with bound_contextvars(request_id="first"), attention.follow(None), jobs.follow("job_1"):
        while len(look.named) < 2:
            await asyncio.sleep(0)

    assert look.named == [{"process": "api"}] * 2
