"""Pages of lists, newest first."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import FromClause, Select, tuple_


@dataclass(frozen=True)
class Position:
    """A place in a list: just behind what has this time and id."""

    created_at: datetime
    id: str


def newest_first(query: Select[Any], table: FromClause, after: Position | None, limit: int | None) -> Select[Any]:
    """At most `limit` rows of the table, those behind `after`."""
    query = query.order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit)
    if after is not None:
        query = query.where(tuple_(table.c.created_at, table.c.id) < (after.created_at, after.id))
    return query
