"""`followthrough demo` is what a stranger sees first."""

import re
from pathlib import Path

import pytest

from tests.stack_session import followthrough, status


def test_the_demo_ends_well_and_leaves_nothing_running(tmp_path: Path) -> None:
    home = tmp_path / "home"

    done = followthrough("demo", "--home", str(home))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "They balance" in done.stdout
    assert "see http://127.0.0.1:" in done.stdout, "the order that is retried has its link into the Web UI"
    for ending in ("completed", "payment_declined", "shipping_failed", "cancelled_by_customer"):
        assert ending in done.stdout
    assert "Welcome! Please confirm your address" in done.stdout
    assert "is confirmed" in done.stdout
    assert "and said 'said later'" in done.stdout
    assert "A report of the orders: succeeded, 8/8" in done.stdout
    assert re.search(r"Report rpt_\w{26}: 8 rows, \d+ bytes", done.stdout)
    assert all(process["pid"] is None for process in status(home)["processes"].values())


@pytest.mark.outage
def test_the_demo_says_what_is_off_and_fails(tmp_path: Path) -> None:
    # Nothing waits for approval then, so that the order to be cancelled completes.
    done = followthrough("demo", "--home", str(tmp_path / "home"), FOLLOWTHROUGH_APPROVAL_THRESHOLD="99999999")

    assert done.returncode == 1, done.stdout + done.stderr
    assert "(cancelled while it waits) is completed, not cancelled" in done.stdout
