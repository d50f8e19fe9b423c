"""Opaque cursors: a place in a list, as text that only we read."""

import base64
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from api.errors import InvalidCursor
from database.paging import Position

Item = TypeVar("Item")

_PLACE = re.compile(r"(\d{1,16})/([a-z]{3,4}_[0-7][0-9A-HJKMNP-TV-Z]{25})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def cursor_behind(position: Position) -> str:
    """The cursor of the page that begins behind this position."""
    place = f"{(position.created_at - _EPOCH) // _MICROSECOND}/{position.id}"
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def next_cursor(found: Sequence[Item], limit: int, place: Callable[[Item], Position]) -> str | None:
    """What continues a page of `limit`, for which one more was asked for; None when it is the last page."""
    return cursor_behind(place(found[limit - 1])) if len(found) > limit else None


def position_of(cursor: str | None) -> Position | None:
    """The position that a cursor names; the first page has none. Raises InvalidCursor for what we did not make."""
    if cursor is None:
        return None
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        found = _PLACE.fullmatch(base64.b64decode(padded, altchars=b"-_", validate=True).decode())
    except ValueError:
        raise InvalidCursor from None
    if found is None:
        raise InvalidCursor
    return Position(created_at=_EPOCH + int(found[1]) * _MICROSECOND, id=found[2])
