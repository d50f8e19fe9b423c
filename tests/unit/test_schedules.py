"""What is said of schedules in docs and settings is what the code says."""

import re
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.attention import AttentionKind
from contracts.digest import DigestDay, DigestRules
from contracts.ids import first_id_at, new_job_id
from settings import DigestSettings, ScheduleSettings
from workflows.schedules import schedules
from workflows.upkeep import UPKEEP

DOCUMENT = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text()
ROW = re.compile(
    r"^\| `([a-z-]+)` *\| (.+?) *\| `([a-z_]+)` *\| (\d+) s *\| (\d+) s *\| (\d+) s *\| `(\w+)` *\| .{10,} \|$",
    re.MULTILINE,
)


def test_the_table_of_schedules_is_what_the_code_says() -> None:
    declared = [
        (
            one.name,
            one.when,
            one.overlap.name.lower(),
            *(str(int(span.total_seconds())) for span in (one.catch_up, one.jitter, one.run_within)),
            one.workflow.__temporal_workflow_definition.name,
        )
        for one in schedules(digest_at=time(8), digest_zone="UTC")
    ]

    assert ROW.findall(DOCUMENT) == declared


def test_every_workflow_of_upkeep_is_started_by_one_schedule() -> None:
    assert [one.workflow for one in schedules(digest_at=time(8), digest_zone="UTC")] == list(UPKEEP)


def test_every_kind_of_attention_item_is_documented() -> None:
    assert re.findall(r"^\| `(\w+)` +\| [^|]*\| [^|]*\| (?:yes)? *\|$", DOCUMENT, re.MULTILINE) == [
        kind.value
        for kind in (
            AttentionKind.DISPUTE,
            AttentionKind.UNEXPECTED_CHARGE,
            AttentionKind.MISSING_CHARGE,
            AttentionKind.REFUND_DIFFERS,
            AttentionKind.SHIPMENT_OVERDUE,
            AttentionKind.ORPHANED_RESERVATION,
            AttentionKind.STUCK_ORDER,
            AttentionKind.WEBHOOK_FAILING,
            AttentionKind.WEBHOOK_DISABLED,
        )
    ]


@pytest.mark.parametrize(
    ("at", "zone"),
    [
        ("08:00", "Europe/Oslo"),
        ("01:59", "Europe/Oslo"),
        ("03:00", "Europe/Oslo"),
        ("02:30", "UTC"),
        ("02:30", "Asia/Tokyo"),
    ],
)
def test_a_time_that_every_day_has_once(at: str, zone: str) -> None:
    assert f"{ScheduleSettings(digest_at=at, digest_zone=zone).digest_time:%H:%M}" == at


@pytest.mark.parametrize(
    ("at", "zone"),
    [("02:00", "Europe/Oslo"), ("02:59", "Europe/Oslo"), ("01:30", "America/New_York"), ("02:30", "America/New_York")],
)
def test_a_time_that_a_day_lacks_or_has_twice_is_refused(at: str, zone: str) -> None:
    with pytest.raises(ValidationError, match="must be a time that every day has once"):
        ScheduleSettings(digest_at=at, digest_zone=zone)


@pytest.mark.parametrize(
    "wrong",
    [{"digest_at": "8:00"}, {"digest_at": "24:00"}, {"digest_zone": "Oslo"}, {"digest_zone": "../etc/passwd"}],
)
def test_what_is_no_time_or_zone_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="must be "):
        ScheduleSettings(**wrong)


@pytest.mark.parametrize("wrong", ["operators", "Olga <olga@example.com>", "a@b, c@d"])
def test_what_is_no_address_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError, match="must be an address"):
        DigestSettings(digest_to=wrong)


@pytest.mark.parametrize(
    ("at", "day", "hours"),
    [
        ("2026-03-30T06:00:00+00:00", "2026-03-29", 23),
        ("2026-10-26T07:00:00+00:00", "2026-10-25", 25),
        # There it is the next day already.
        ("2026-07-01T22:30:00+00:00", "2026-07-01", 24),
    ],
)
def test_the_day_before_is_one_of_the_zone(at: str, day: str, hours: int) -> None:
    found = DigestDay.before(datetime.fromisoformat(at), DigestRules(zone="Europe/Oslo"))

    assert found.day.isoformat() == day
    assert (found.until - found.since).total_seconds() == hours * 3_600
    assert found.since.tzinfo is UTC


def test_ids_made_of_the_time_are_found_by_it() -> None:
    now = datetime.now(UTC)

    assert first_id_at("job", now) <= new_job_id()
    assert first_id_at("job", now.replace(year=now.year - 1)) < first_id_at("job", now)
