"""An order as a row of a table: what exports and reports hold of it, as CSV or as lines of JSON."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

# A cell that begins with one of these is a formula to a spreadsheet, or may become one: OWASP, "CSV Injection". The
# last four are the full-width forms of the first four.
_BEGINS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class RowFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"


class OrderRow(NamedTuple):
    """The columns, in their order. `total_amount` is in the minor unit of `currency`, `units` of all lines together."""

    id: str
    status: str
    customer_id: str
    created_at: datetime
    updated_at: datetime
    total_amount: int
    currency: str
    units: int
    skus: Sequence[str]
    ship_to_city: str
    ship_to_country: str
    failure_code: str | None


def csv_header() -> bytes:
    return _csv([OrderRow._fields])


def as_csv(rows: Iterable[OrderRow]) -> bytes:
    """Records of CSV (RFC 4180) in UTF-8, safe to open in a spreadsheet; SKUs are separated by spaces."""
    return _csv([_cell(value) for value in row] for row in rows)


def as_jsonl(rows: Iterable[OrderRow]) -> bytes:
    """JSON texts in UTF-8, each on a line of its own."""
    return b"".join(
        json.dumps(row._asdict(), default=_time, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        for row in rows
    )


def _csv(records: Iterable[Iterable[str | int]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(records)
    return text.getvalue().encode()


def _cell(value: object) -> str | int:
    """Numbers stay numbers; text that a spreadsheet could take for a formula begins with an apostrophe."""
    match value:
        case None:
            return ""
        case int():
            return value
        case datetime():
            return _time(value)
        case str():
            return f"'{value}" if value.startswith(_BEGINS_FORMULA) else value
        case _:
            return _cell(" ".join(value))  # type: ignore[arg-type]


def _time(at: datetime) -> str:
    """RFC 3339, in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
