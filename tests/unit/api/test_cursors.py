"""Cursors name a place in a list, and only ours are taken."""

from datetime import UTC, datetime

import pytest

from api.cursors import cursor_behind, position_of
from api.errors import InvalidCursor
from contracts.ids import order_id_for
from database.paging import Position


def test_a_cursor_leads_back_to_its_position() -> None:
    position = Position(created_at=datetime(2026, 3, 1, 12, 30, 15, 123_456, UTC), id=order_id_for("ada", "1"))

    assert position_of(cursor_behind(position)) == position


@pytest.mark.parametrize(
    "cursor",
    ["", "made-up", "====", "é", "\ud800", "MTIz", "OTk5OTk5OTk5OTk5OTk5OTk5OS9vcmRfMA", "A" * 512, "\x00", "a b"],
)
def test_any_other_text_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        position_of(cursor)
