"""Conditional and partial requests for what never changes: RFC 9110, sections 13 and 14."""

import re
from typing import NamedTuple

from starlette.datastructures import Headers

from api.errors import RangeNotSatisfiable

_ONE_RANGE = re.compile(r"bytes[ \t]*=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.ASCII | re.IGNORECASE)
_STRONG_ETAG = re.compile(r'(?<!W/)"[\x21\x23-\x7e\x80-\xff]*"')
_ETAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')


class ByteRange(NamedTuple):
    """From one byte, counted from 0, until before another."""

    start: int
    end: int


def is_known(headers: Headers, etag: str) -> bool:
    """Whether the client has it already, by what it says in If-None-Match."""
    said = ",".join(headers.getlist("If-None-Match"))
    return said.strip() == "*" or etag in _ETAG.findall(said)


def is_another(headers: Headers, etag: str) -> bool:
    """Whether the client wants nothing but another version, by what it says in If-Match. Weak tags never match."""
    said = headers.getlist("If-Match")
    return bool(said) and ",".join(said).strip() != "*" and etag not in _STRONG_ETAG.findall(",".join(said))


def wanted_range(headers: Headers, etag: str, size: int) -> ByteRange | None:
    """The bytes that the client asks for; None for all of them. Raises RangeNotSatisfiable.

    Several ranges, and what is no range of bytes, are answered with everything, as is a range of something else than we
    have (If-Range).
    """
    asked = headers.getlist("Range")
    found = _ONE_RANGE.fullmatch(asked[0]) if len(asked) == 1 else None
    if found is None or headers.get("If-Range", etag) != etag:
        return None
    first, last = found.groups()
    if not (first or last) or (first and last and int(last) < int(first)):
        return None
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
    else:
        start, end = max(0, size - int(last)), size
    if start >= end:
        raise RangeNotSatisfiable(f"There are {size} bytes.", headers={"Content-Range": f"bytes */{size}"})
    return ByteRange(start, end)
