"""Times that clients send."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator

_RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})", re.ASCII | re.IGNORECASE)


def _instant(text: Any) -> datetime:
    try:
        if not (isinstance(text, str) and _RFC_3339.fullmatch(text)):
            raise ValueError
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            "must be an RFC 3339 time with its offset, for example 2026-03-01T12:00:00Z (in a URL a + is written %2B)"
        ) from None


# A moment, in UTC. Fractions of a microsecond are cut off.
Instant = Annotated[datetime, BeforeValidator(_instant)]
