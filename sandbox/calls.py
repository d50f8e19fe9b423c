"""One request to a provider, as the request log will show it, and the answer it gets."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import ceil

from starlette.responses import Response

from sandbox.faults import Behaviour, Fault, Provider


def now() -> str:
    """The current time, RFC 3339 in UTC with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class Call:
    """A request that reached a provider. `operation` is also `search` for the requests that only look.

    Of a mail, `key` is its Message-ID and `to` the recipient.
    """

    provider: Provider
    operation: str
    key: str | None = None
    order_id: str | None = None
    to: str | None = None
    fault: Behaviour | None = None
    replayed: bool = False
    at: str = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as it can be stored under an idempotency key: the body is JSON text."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        return Response(self.body, self.status, dict(self.headers), media_type="application/json")


@dataclass(frozen=True, slots=True)
class AtTheDoor:
    """What a provider answers without looking at the request, in its own wire format."""

    broken: Answer
    unavailable: Answer
    too_many: Answer

    def answer(self, fault: Fault | None) -> Answer | None:
        """None lets the request in."""
        if fault is None:
            return None
        match fault.behaviour:
            case Behaviour.ERROR_BEFORE:
                return self.broken
            case Behaviour.UNAVAILABLE:
                return self.unavailable
            case Behaviour.RATE_LIMIT:
                # RFC 9110 has Retry-After in whole seconds.
                return replace(self.too_many, headers={"Retry-After": str(max(1, ceil(fault.delay_s)))})
            case _:
                return None
