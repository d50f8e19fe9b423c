"""`make audit` looks packages up in a database that may be out of reach, and says so then."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_an_audit_without_its_database_is_skipped_aloud_and_does_not_fail() -> None:
    skipped = subprocess.run(
        ["tools/audit.sh"],
        cwd=ROOT,
        env={**os.environ, "AUDIT_DATABASE": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert skipped.returncode == 0, skipped.stderr
    assert "NO AUDIT" in skipped.stdout
    assert "http://127.0.0.1:1" in skipped.stderr


def test_what_is_taken_is_audited_before_it_is_tested() -> None:
    *_, last = (ROOT / ".ci/run").read_text().splitlines()

    assert last == "exec make audit lint test"
    assert "-r requirements/runtime.txt" in (ROOT / "tools/audit.sh").read_text()
