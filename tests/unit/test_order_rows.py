"""Rows of orders as text: CSV that no spreadsheet takes for a program, and lines of JSON."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.order_rows import OrderRow, as_csv, as_jsonl, csv_header

ROW = OrderRow(
    id="ord_1",
    status="rejected",
    customer_id="ada",
    created_at=datetime(2026, 3, 1, 12, 0, 0, 5, UTC),
    updated_at=datetime(2026, 3, 1, 14, 0, tzinfo=timezone(timedelta(hours=2))),
    total_amount=3998,
    currency="usd",
    units=2,
    skus=["TEE-BLACK-M", "MUG"],
    ship_to_city="Tromsø",
    ship_to_country="NO",
    failure_code="out_of_stock",
)


def cells(row: OrderRow) -> dict[str, str]:
    header, record = csv.reader(io.StringIO((csv_header() + as_csv([row])).decode(), newline=""), strict=True)
    return dict(zip(header, record, strict=True))


def test_a_row_is_a_record() -> None:
    assert as_csv([ROW]).decode() == (
        "ord_1,rejected,ada,2026-03-01T12:00:00.000005Z,2026-03-01T12:00:00Z,3998,usd,2,TEE-BLACK-M MUG,Tromsø,NO,"
        "out_of_stock\r\n"
    )


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])  # noqa: RUF001
def test_text_that_begins_like_a_formula_begins_with_an_apostrophe(begin: str) -> None:
    assert cells(ROW._replace(customer_id=f"{begin}1+1"))["customer_id"] == f"'{begin}1+1"
    assert cells(ROW._replace(skus=[f"{begin}A", "B"]))["skus"] == f"'{begin}A B"


def test_numbers_stay_numbers() -> None:
    assert cells(ROW._replace(total_amount=-5))["total_amount"] == "-5"


@given(text=st.text())
def test_any_text_can_be_read_back(text: str) -> None:
    assert cells(ROW._replace(ship_to_city=text))["ship_to_city"].removeprefix("'") == text.removeprefix("'")


def test_no_failure_is_an_empty_cell_and_a_null() -> None:
    row = ROW._replace(failure_code=None)

    assert cells(row)["failure_code"] == ""
    assert json.loads(as_jsonl([row]))["failure_code"] is None


def test_lines_of_json_have_what_a_row_has_as_it_is() -> None:
    first, second = as_jsonl([ROW, ROW._replace(id="ord_2", customer_id="=1\n")]).decode().splitlines()

    assert json.loads(first) == {
        **ROW._asdict(),
        "created_at": "2026-03-01T12:00:00.000005Z",
        "updated_at": "2026-03-01T12:00:00Z",
    }
    assert json.loads(second)["customer_id"] == "=1\n"
    assert "Tromsø" in first
